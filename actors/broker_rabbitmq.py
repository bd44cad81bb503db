"""RabbitMQ: quorum queues, a delivery limit, dead letters that are confirmed before they move."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Self
from uuid import uuid4

import dramatiq
import pika
import structlog
from dramatiq.middleware import Middleware
from pika.exceptions import ConnectionBlockedTimeout, ConnectionWrongStateError

from actors.broker_contract import (
    DEAD_LETTERS,
    MOST_DELIVERIES,
    ConnectionLost,
    DeadLetter,
    Delivery,
    QueueConsumer,
    QueueError,
    Unconfirmed,
    Unworkable,
    blame,
    delivered_by,
    read,
)
from actors.broker_dramatiq import QueueBroker
from actors.broker_rabbitmq_headers import dead_letter, read_leniently
from actors.broker_rabbitmq_publisher import FAILURES, Letter, RabbitPublisher, parameters
from actors.mourning import mourn
from models.messages import EVENTS_EXCHANGE, LEASE_QUEUE, REPORT_QUEUE, UPWARD_EXCHANGE

# The delivery limit counts redeliveries (RabbitMQ, "Quorum Queues", poison message handling);
# at-least-once dead lettering demands reject-publish ("Activating at-least-once dead-lettering").
QUEUE_ARGUMENTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "x-queue-type": "quorum",
        "x-delivery-limit": MOST_DELIVERIES - 1,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD_LETTERS,
        "x-dead-letter-strategy": "at-least-once",
    }
)
DEAD_LETTER_ARGUMENTS: Final[Mapping[str, Any]] = MappingProxyType({"x-queue-type": "quorum"})

UPWARD: Final = frozenset({REPORT_QUEUE, LEASE_QUEUE, DEAD_LETTERS})
"""What a site may say something to, by the one exchange that it may publish to."""

ANSWER_TIMEOUT_S: Final = 20.0
PROBE_MS: Final = 60_000
"""After which a queue that was made to see whether any works is gone, whoever died."""

log = structlog.get_logger()

read_leniently()


class RabbitBroker(QueueBroker):
    """dramatiq's broker on RabbitMQ.  A lost connection is made again by the worker's loop."""

    publisher: RabbitPublisher

    def __init__(self, url: str, middleware: list[Middleware], fenced: bool = False) -> None:  # noqa: FBT001, FBT002 - as Transport calls it
        super().__init__(publisher(url, fenced), middleware)
        self.url = url
        self.fenced = fenced

    def ensure(self, queue: str) -> None:
        declare(self.url, {queue})

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> dramatiq.Consumer:
        # dramatiq asks for two messages a thread.  RabbitMQ counts a delivery for each that a
        # restart gives back unread, so no more are fetched than threads can start.
        return RabbitConsumer(self, queue_name, prefetch=max(1, prefetch // 2), timeout_ms=timeout)


class RabbitConsumer(QueueConsumer):
    """One queue on one connection, owned by the thread that iterates; others only settle."""

    def __init__(self, broker: RabbitBroker, queue: str, *, prefetch: int, timeout_ms: int) -> None:
        self._broker = broker
        self._queue = queue
        with _lost_on_failure(), ExitStack() as undo:
            self._connection = pika.BlockingConnection(
                parameters(broker.url, name=f"queue {queue}")
            )
            undo.callback(self.close)
            with _bounded(self._connection):
                self._channel = self._connection.channel()
                if broker.fenced:
                    self._channel.queue_declare(queue, passive=True)  # fails when it is not there
                else:
                    _declare(self._channel, {queue})
                self._channel.basic_qos(prefetch_count=prefetch)
            self._deliveries = self._channel.consume(queue, inactivity_timeout=timeout_ms / 1000)
            undo.pop_all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery | None:
        with _lost_on_failure(), _bounded(self._connection):
            delivered = next(self._deliveries, None)
        if delivered is None:
            raise ConnectionLost(f"RabbitMQ took the queue {self._queue} away")
        method, _, body = delivered
        if method is None:
            return None
        try:
            message = read(body, self._queue, self._broker.actors)
        except Unworkable as exc:
            self._bury(method.delivery_tag, body, exc)
            return None
        return Delivery(message, self, method.delivery_tag, body)

    def ack(self, message: Any) -> None:
        if delivered_by(self, message):
            self._settle(partial(self._channel.basic_ack, message.tag))

    def nack(self, message: Any) -> None:
        if delivered_by(self, message):
            self._bury(message.tag, message.body, blame(message._exception))  # noqa: SLF001 - dramatiq keeps it there

    def close(self) -> None:
        super().close()
        # Whatever pika makes of a connection that broke, the thread that closes it lives on.
        with suppress(Exception), _bounded(self._connection):
            done = threading.Event()
            self._connection.add_callback_threadsafe(done.set)
            while not done.is_set():
                self._connection.process_data_events(time_limit=0.1)
            self._connection.close()

    def _bury(self, tag: int, body: bytes, why: Unworkable) -> None:
        """Store the dead letter with its reason, then drop the original."""
        mourn(self._queue, body, why)
        try:
            self._broker.publisher.send([Letter.dead(self._queue, body, why)])
        except QueueError as exc:
            # RabbitMQ moves it by itself, without our reason.
            log.warning("queue.dead-letter-unreasoned", queue=self._queue, why=str(exc))
            self._settle(partial(self._channel.basic_nack, tag, requeue=False))
        else:
            self._settle(partial(self._channel.basic_ack, tag))

    def _settle(self, call: partial[None]) -> None:
        # On a closed connection there is nothing to settle: the message is back on its queue.
        with suppress(*FAILURES):
            self._connection.add_callback_threadsafe(call)


class RabbitDeadLetters:
    """The dead-letter queue, read without keeping."""

    def __init__(self, url: str) -> None:
        self._url = url

    def peek(self, limit: int = 100) -> list[DeadLetter]:
        """Return up to *limit* dead letters, oldest first.  Raises Unconfirmed."""
        with _channel(self._url) as channel:
            return [dead_letter(*got[1:]) for got in _got(channel, limit)]

    def replay(self, ids: Collection[str]) -> int:
        """Publish the dead letters with *ids* anew, then drop them.  Raises a QueueError."""
        replayed = 0
        publisher = RabbitPublisher(self._url)
        try:
            with _channel(self._url) as channel:
                for got in _got(channel, _depth(channel)):
                    letter = dead_letter(*got[1:])
                    if letter.id in ids:
                        publisher.publish([(letter.queue, letter.body)])
                        channel.basic_ack(got[0].delivery_tag)
                        replayed += 1
        finally:
            publisher.close()
        return replayed

    def move(self, keep: Callable[[list[DeadLetter]], None], limit: int) -> int:
        """Take up to *limit* dead letters away once *keep* has them.  Raises Unconfirmed."""
        with _channel(self._url) as channel:
            got = list(_got(channel, limit))
            if got:
                keep([dead_letter(*each[1:]) for each in got])
                channel.basic_ack(got[-1][0].delivery_tag, multiple=True)
        return len(got)


def publisher(url: str, fenced: bool) -> RabbitPublisher:  # noqa: FBT001 - as Transport calls it
    """Return a publisher; a site's account may use one exchange only."""
    return RabbitPublisher(url, UPWARD_EXCHANGE if fenced else "")


def declare(url: str, queues: Collection[str]) -> None:
    """Make *queues* and the dead-letter queue, where they are not yet.  Raises Unconfirmed."""
    with _channel(url) as channel:
        _declare(channel, queues)


def renew(url: str, queues: Collection[str]) -> None:
    """Delete *queues* and make them anew, if another queue takes a message.  Raises Unconfirmed.

    A quorum queue can be left without a leader: RabbitMQ 3.10 leaves one so that was killed within
    seconds of declaring it, for good.  It then takes nothing, and can still be deleted.
    """
    with _channel(url) as channel:
        _demand_answer(channel)
    for queue in queues:
        with _channel(url) as channel:
            channel.queue_delete(queue)  # takes five seconds where there is no leader
            _declare(channel, [queue])


def depths(url: str, queues: Collection[str]) -> dict[str, int]:
    """Return how many messages wait in each of *queues* that is there.  Raises Unconfirmed."""
    found = {}
    with _channel(url) as channel:
        for queue in queues:
            told = channel.queue_declare(queue, passive=True)
            found[queue] = int(told.method.message_count)
    return found


def _demand_answer(channel: Any) -> None:
    probe = f"sprout.probe.{uuid4().hex}"
    arguments = {"x-queue-type": "quorum", "x-expires": PROBE_MS}
    channel.queue_declare(probe, durable=True, arguments=arguments)
    channel.confirm_delivery()
    channel.basic_publish("", probe, b"{}", mandatory=True)
    channel.queue_delete(probe)


def _declare(channel: Any, queues: Collection[str]) -> None:
    channel.exchange_declare(EVENTS_EXCHANGE, exchange_type="topic", durable=True)
    channel.exchange_declare(UPWARD_EXCHANGE, exchange_type="direct", durable=True)
    channel.queue_declare(DEAD_LETTERS, durable=True, arguments=dict(DEAD_LETTER_ARGUMENTS))
    for queue in queues:
        channel.queue_declare(queue, durable=True, arguments=dict(QUEUE_ARGUMENTS))
    for queue in UPWARD & {DEAD_LETTERS, *queues}:
        channel.queue_bind(queue, UPWARD_EXCHANGE, routing_key=queue)


@contextmanager
def _channel(url: str) -> Iterator[Any]:
    """A channel for the block; what was fetched and not acknowledged goes back at its end."""
    try:
        connection = pika.BlockingConnection(parameters(url, name="queue"))
        with _bounded(connection):
            try:
                yield connection.channel()
            finally:
                with suppress(*FAILURES):
                    connection.close()
    except FAILURES as exc:
        raise Unconfirmed(f"RabbitMQ: {exc!r}") from exc


@contextmanager
def _bounded(connection: Any) -> Iterator[None]:
    """Drop *connection* unless the block ends in time: pika waits for ever for each answer.

    A node that was killed within a second of declaring a quorum queue may start it again without a
    leader (seen in 3.10, rabbitmq-server issue 15725): it answers everything but `basic.consume`.
    """
    if not connection.is_open:
        raise ConnectionWrongStateError("the connection is closed")
    line = connection._impl  # noqa: SLF001 - the public timers do not fire inside a call
    why = ConnectionBlockedTimeout(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
    alarm = line.ioloop.call_later(ANSWER_TIMEOUT_S, partial(line._terminate_stream, why))  # noqa: SLF001 - as pika's own timers do
    try:
        yield
    finally:
        line.ioloop.remove_timeout(alarm)


@contextmanager
def _lost_on_failure() -> Iterator[None]:
    """Turn pika's failures into the one that workers recover from."""
    try:
        yield
    except FAILURES as exc:
        raise ConnectionLost(f"RabbitMQ: {exc!r}") from exc


def _depth(channel: Any) -> int:
    return int(channel.queue_declare(DEAD_LETTERS, passive=True).method.message_count)


def _got(channel: Any, limit: int) -> Iterator[tuple[Any, Any, bytes]]:
    _declare(channel, ())
    for _ in range(limit):
        method, properties, body = channel.basic_get(DEAD_LETTERS)
        if method is None:
            return
        yield method, properties, body
