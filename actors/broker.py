"""Queues by URL: RabbitMQ for `amqp://`, the embedded queue for `postgresql://`.

broker_for, run_worker      actors work on what is sent to them
publisher_for, declare      the outbox relay sends what was promised
dead_letters_of             what ended, why, and once more

Together with broker_*.py and queue_postgres.py the owner of dramatiq and pika.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import dramatiq
import structlog
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker

from actors import broker_postgres, broker_rabbitmq, broker_rabbitmq_tls, middleware
from actors.broker_contract import DeadLetters, Publisher
from actors.broker_dramatiq import QueueBroker
from actors.broker_rabbitmq_automation import Obey, listen
from actors.broker_rabbitmq_events import EventPublisher as EventsOnRabbit
from models.events import DomainEvent

if TYPE_CHECKING:
    from config.tls import Credentials  # cryptography is large: for processes that speak TLS

IDLE_MS: Final = 250
"""How often an idle thread of a worker looks whether it is to stop."""

log = structlog.get_logger()


class WorkerBroken(Exception):
    """A thread of the worker ended on its own: the process should end and be started again."""


@dataclass(frozen=True, slots=True)
class Transport:
    """One kind of broker."""

    broker: Callable[[str, list[Middleware], bool], QueueBroker]
    publisher: Callable[[str, bool], Publisher]
    declare: Callable[[str, Collection[str]], None]
    renew: Callable[[str, Collection[str]], None]
    dead_letters: Callable[[str], DeadLetters]
    depths: Callable[[str, Collection[str]], Mapping[str, int]]


_RABBITMQ: Final = Transport(
    broker_rabbitmq.RabbitBroker,
    broker_rabbitmq.publisher,
    broker_rabbitmq.declare,
    broker_rabbitmq.renew,
    broker_rabbitmq.RabbitDeadLetters,
    broker_rabbitmq.depths,
)
_POSTGRES: Final = Transport(
    broker_postgres.PostgresBroker,
    broker_postgres.publisher,
    broker_postgres.declare,
    broker_postgres.declare,  # a table cannot be without a leader
    broker_postgres.PostgresDeadLetters,
    broker_postgres.depths,
)
TRANSPORTS: Final[Mapping[str, Transport]] = MappingProxyType(
    {
        "amqp": _RABBITMQ,
        "amqps": _RABBITMQ,
        "postgres": _POSTGRES,
        "postgresql": _POSTGRES,
    }
)


def broker_for(
    url: str, *, queues: Collection[str] = (), consume: bool, fenced: bool = False
) -> QueueBroker:
    """Return a dramatiq broker on *url*; it connects when it is used.

    With *consume* it carries the middleware of a worker.  *fenced*: by a site's account, which
    declares nothing, says what it says through one exchange, and judges the ages of messages
    itself.  Raises ValueError for other schemes.
    """
    around = middleware.for_workers(judges_ages=fenced) if consume else []
    made = _transport(url).broker(url, around, fenced)
    for queue in queues:
        made.declare_queue(queue)
    return made


def secure(credentials: "Credentials | None") -> None:
    """Have this process show *credentials* wherever it connects to a broker by TLS.

    PostgreSQL's own settings of TLS stand in its URL: `sslmode`, `sslrootcert`, `sslcert`,
    `sslkey`.
    """
    broker_rabbitmq_tls.show(credentials)


def install(broker: dramatiq.Broker) -> None:
    """Make *broker* the one that actors bind to when their modules are imported."""
    dramatiq.set_broker(broker)


def publisher_for(url: str, *, fenced: bool = False) -> Publisher:
    """Return a publisher on *url*; it connects when it is used.  *fenced* as in `broker_for`."""
    return _transport(url).publisher(url, fenced)


class EventPublisher(Protocol):
    """Hands domain events to whoever listens."""

    def publish(self, batch: Sequence[DomainEvent]) -> None:
        """Publish *batch* in its order and return when it is stored.  Raises a QueueError."""

    def close(self) -> None:
        """Let go of the connection; the next publish makes a new one."""


class _Nobody:
    """The embedded queue has no topics."""

    def publish(self, batch: Sequence[DomainEvent]) -> None:
        return

    def close(self) -> None:
        return


def event_publisher_for(url: str) -> EventPublisher:
    """Return a publisher of domain events on *url*."""
    return EventsOnRabbit(url) if _transport(url) is _RABBITMQ else _Nobody()


def listen_to_automation(url: str, obey: Obey, stop: threading.Event) -> None:
    """Answer commands of other systems until *stop*.  Raises a QueueError.

    The embedded queue has no accounts, so that nobody can prove who he is: there are none.
    """
    if _transport(url) is _RABBITMQ:
        listen(url, obey, stop)
    else:
        stop.wait()


def declare(url: str, queues: Collection[str]) -> None:
    """Make *queues*, where they are not yet.  Raises Unconfirmed."""
    _transport(url).declare(url, queues)


def renew(url: str, queues: Collection[str]) -> None:
    """Delete *queues*, with what lies in them, and make them anew.  Raises Unconfirmed.

    Nothing is deleted unless a queue that is made for it takes a message meanwhile: a broker that
    is slow as a whole is left alone.
    """
    _transport(url).renew(url, queues)


def dead_letters_of(url: str) -> DeadLetters:
    """Return the messages that ended on *url*."""
    return _transport(url).dead_letters(url)


def depths(url: str, queues: Collection[str]) -> Mapping[str, int]:
    """Return how many messages wait in each of *queues* that is there.  Raises Unconfirmed."""
    return _transport(url).depths(url, queues)


def run_worker(
    broker: dramatiq.Broker,
    *,
    threads: int,
    queues: Collection[str],
    stop: threading.Event,
    grace_s: float = 30.0,
) -> None:
    """Work on *queues* until *stop* is set, then let actors finish for up to *grace_s* seconds.

    Survives the broker's restarts.  Raises WorkerBroken when a thread of the worker has died.
    """
    worker = Worker(broker, queues=set(queues), worker_threads=threads, worker_timeout=IDLE_MS)
    # What dramatiq's own command line does after a fork: starts the keeper of time limits.
    broker.emit_after("process_boot")
    worker.start()
    log.info("worker.started", queues=sorted(queues), threads=threads)
    try:
        while not stop.wait(1.0):
            _check(worker)
    finally:
        worker.stop(timeout=int(grace_s * 1000))
        log.info("worker.stopped", queues=sorted(queues))


def _check(worker: Worker) -> None:
    threads = [*worker.workers, *worker.consumers.values()]
    dead = [thread.name for thread in threads if not thread.is_alive()]
    if dead:
        raise WorkerBroken(f"threads ended: {', '.join(dead)}")


def _transport(url: str) -> Transport:
    scheme = urlsplit(url).scheme
    try:
        return TRANSPORTS[scheme]
    except KeyError:
        known = ", ".join(sorted(TRANSPORTS))
        raise ValueError(f"no broker for {scheme!r}: one of {known}") from None
