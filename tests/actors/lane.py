"""One queue on one broker, and what a test does to it, the same for every kind of broker."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Queue
from typing import Any
from uuid import uuid4

import dramatiq
from pika.exceptions import ConnectionWrongStateError

from actors import broker
from actors.broker_contract import DEAD_LETTERS, DeadLetter, Unconfirmed
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ

PATIENCE_S = 60.0


class Lane:
    def __init__(
        self,
        url: str,
        restart: Callable[[signal.Signals], None],
        drop: Callable[[Any], None],
        is_kept: Callable[[str], bool] = lambda _queue: True,
    ) -> None:
        self.url = url
        self._restart = restart
        self._is_kept = is_kept
        self.drop = drop
        self.queue = f"t.{uuid4().hex[:12]}.1"
        self.publisher = broker.publisher_for(url)
        broker.declare(url, [self.queue])

    def close(self) -> None:
        self.publisher.close()

    def restart(self) -> None:
        """Have the broker end in good order, and start again."""
        self._restart(signal.SIGTERM)

    def crash(self) -> None:
        """Have the broker end without a word to anybody, and start again."""
        until(lambda: all(map(self._is_kept, (self.queue, DEAD_LETTERS))))
        self._restart(signal.SIGKILL)

    def message(self, *args: Any, actor: str = "work", **changes: Any) -> bytes:
        """Return the least message that is valid, with *changes* to its fields."""
        fields = {
            "queue_name": self.queue,
            "actor_name": actor,
            "args": args,
            "kwargs": {},
            "options": {},
        }
        return dramatiq.Message(**fields | changes).encode()

    def send(self, *bodies: bytes) -> None:
        self.publisher.publish([(self.queue, body) for body in bodies])

    def send_when_back(self, body: bytes) -> None:
        """Publish as the relay does: again, until it is confirmed."""

        def sent() -> bool:
            try:
                self.send(body)
            except Unconfirmed:
                return False
            return True

        until(sent)

    def broker(self, actor: Callable[..., None], **options: Any) -> dramatiq.Broker:
        """Return a broker to consume from, with *actor* answering to `work`."""
        made = broker.broker_for(self.url, queues=[self.queue], consume=True)
        dramatiq.actor(actor, actor_name="work", queue_name=self.queue, broker=made, **options)
        return made

    @contextmanager
    def working(
        self, actor: Callable[..., None], *, threads: int = 2, **options: Any
    ) -> Iterator[dramatiq.Broker]:
        """A worker for the block, whose `work` is *actor*."""
        made = self.broker(actor, **options)
        stop = threading.Event()
        thread = threading.Thread(
            target=broker.run_worker,
            args=(made,),
            kwargs={"threads": threads, "queues": [self.queue], "stop": stop},
        )
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            made.close()

    @contextmanager
    def consuming(self, *, prefetch: int = 2) -> Iterator[Any]:
        """A consumer without a worker, dropped like a process that died."""
        made = self.broker(print)
        consumer = made.consume(self.queue, prefetch=prefetch, timeout=100)
        try:
            yield consumer
        finally:
            self.drop(consumer)
            made.close()

    def dead(self) -> list[DeadLetter]:
        letters = broker.dead_letters_of(self.url).peek(1000)
        return [letter for letter in letters if letter.queue == self.queue]

    def last_dead(self) -> DeadLetter:
        """Wait for this lane's one dead letter."""
        until(self.dead)
        (letter,) = self.dead()
        return letter

    def hear(self, *, threads: int = 2) -> Any:
        """A worker for the block; its target is a queue of what its actor was called with."""
        return self._hearing(threads)

    @contextmanager
    def _hearing(self, threads: int) -> Iterator["Queue[Any]"]:
        heard: Queue[Any] = Queue()
        with self.working(heard.put, threads=threads):
            yield heard

    @contextmanager
    def doomed_worker(self) -> Iterator["subprocess.Popen[str]"]:
        """A worker in a process of its own, which says each argument and never finishes."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.doomed", self.url, self.queue],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def until(done: Callable[[], Any], *, seconds: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Return when *done* returns something true; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        assert time.monotonic() < deadline, "it did not come to pass"
        pause.wait(every_s)


def on_rabbitmq(server: RabbitMQ) -> Lane:
    def restart(how: signal.Signals) -> None:
        server.stop(how)
        server.start()

    def drop(consumer: Any) -> None:
        with suppress(ConnectionWrongStateError):
            consumer._connection.close()

    return Lane(server.url, restart, drop, server.has_written_down)


# To PostgreSQL SIGTERM means to wait for its clients, and after SIGKILL shared memory stays.
_POSTGRES_SIGNALS = {signal.SIGTERM: signal.SIGINT, signal.SIGKILL: signal.SIGQUIT}


def on_postgres(server: Postgres) -> Lane:
    def restart(how: signal.Signals) -> None:
        server.stop(_POSTGRES_SIGNALS[how])
        server.start()

    return Lane(server.fresh_database(), restart, lambda consumer: consumer._session.close())
