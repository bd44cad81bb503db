"""The embedded queue behind dramatiq's broker: `SPROUT_BROKER=postgres`."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Self

import dramatiq
from dramatiq.middleware import Middleware

from actors import queue_postgres
from actors.broker_contract import (
    DEAD_LETTERS,
    ConnectionLost,
    DeadLetter,
    Delivery,
    QueueConsumer,
    Unconfirmed,
    Unroutable,
    Unworkable,
    blame,
    check_sizes,
    delivered_by,
    identity,
    read,
)
from actors.broker_dramatiq import QueueBroker
from actors.mourning import mourn
from models.postgres import Disconnected, Refused, Session

POLL_S: Final = 1.0
"""How often a queue is looked at without having been told to."""

RENEW_S: Final = queue_postgres.LEASE_S / 3


class PostgresBroker(QueueBroker):
    """dramatiq's broker on PostgreSQL.  A lost connection is made again by the worker's loop."""

    def __init__(self, url: str, middleware: list[Middleware], fenced: bool = False) -> None:  # noqa: FBT001, FBT002 - as Transport calls it
        super().__init__(PostgresPublisher(url), middleware)
        self.url = url
        self.fenced = fenced

    def ensure(self, queue: str) -> None:
        declare(self.url, {queue})

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> dramatiq.Consumer:
        return PostgresConsumer(self, queue_name, prefetch=prefetch, timeout_ms=timeout)


class PostgresConsumer(QueueConsumer):
    """One queue on one connection, owned by the thread that iterates; others only settle.

    What workers settle is noted and written by the owning thread, several at once under load.
    """

    def __init__(
        self, broker: PostgresBroker, queue: str, *, prefetch: int, timeout_ms: int
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._timeout_s = timeout_ms / 1000
        self._held: set[int] = set()
        self._unread: deque[queue_postgres.Taken] = deque()
        self._settled: deque[tuple[int, Unworkable | None]] = deque()
        self._more = True
        self._polled = self._renewed = float("-inf")
        with _lost_on_failure(), ExitStack() as undo:
            self._session = undo.enter_context(Session(broker.url, name=f"queue {queue}"))
            if not broker.fenced:
                queue_postgres.declare(self._session, {queue})
            self._owner = queue_postgres.Owner(self._session, queue)
            undo.pop_all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery | None:
        with _lost_on_failure():
            self._write_settled()
            self._keep()
            if not self._unread and not self._fetch():
                self._more |= bool(self._session.wait(self._timeout_s))
        return self._deliver(self._unread.popleft()) if self._unread else None

    def ack(self, message: Any) -> None:
        self._settle(message, None)

    def nack(self, message: Any) -> None:
        self._settle(message, blame(message._exception))  # noqa: SLF001 - dramatiq keeps it there

    def close(self) -> None:
        super().close()
        with suppress(Disconnected, Refused):
            self._write_settled()
            self._owner.give_back(self._held)
        self._session.close()

    def _deliver(self, taken: queue_postgres.Taken) -> Delivery | None:
        try:
            message = read(taken.body, self._queue, self._broker.actors)
        except Unworkable as exc:
            self._note(taken.id, taken.body, exc)
            return None
        return Delivery(message, self, taken.id, taken.body)

    def _settle(self, message: Any, why: Unworkable | None) -> None:
        if delivered_by(self, message):
            self._note(message.tag, message.body, why)
            self._session.wake()

    def _note(self, id_: int, body: bytes, why: Unworkable | None) -> None:
        if why is not None:
            mourn(self._queue, body, why)
        self._settled.append((id_, why))

    def _write_settled(self) -> None:
        settled = [self._settled.popleft() for _ in range(len(self._settled))]
        done = [id_ for id_, why in settled if why is None]
        if done:
            self._owner.acknowledge(done)
        for id_, why in settled:
            self._held.discard(id_)
            if why is not None:
                self._owner.bury(id_, why)

    def _keep(self) -> None:
        """Once a second look for what dead owners left; now and then renew the lease."""
        now = time.monotonic()
        if now - self._polled >= POLL_S:
            self._polled = now
            self._owner.reclaim()
            self._more = True
        if self._held and now - self._renewed >= RENEW_S:
            self._renewed = now
            self._owner.renew(self._held)

    def _fetch(self) -> bool:
        """Take more messages if there may be some and half of the room is free."""
        room = self._prefetch - len(self._held)
        if not self._more or room * 2 < self._prefetch:
            return False
        taken = self._owner.take(room)
        self._more = len(taken) == room
        self._held.update(message.id for message in taken)
        self._unread.extend(taken)
        return bool(taken)


class PostgresPublisher:
    """A Publisher on PostgreSQL.  Connects when first used, and anew after each failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._session: Session | None = None

    def publish(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Store every (queue, encoded message), or raise a QueueError."""
        check_sizes(batch)
        if not batch:
            return
        with self._lock, _unconfirmed_on_failure():
            missing = self._publish(batch)
        if missing:
            raise Unroutable(missing)

    def close(self) -> None:
        """Close the connection; the next publish makes a new one."""
        with self._lock:
            self._hang_up()

    def _publish(self, batch: Sequence[tuple[str, bytes]]) -> set[str]:
        if self._session is not None:
            # It may have been idle while the server was restarted: that costs a second try only.
            with suppress(Disconnected):
                return queue_postgres.publish(self._session, batch)
            self._hang_up()
        self._session = Session(self._url, name="queue publisher")
        return queue_postgres.publish(self._session, batch)

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


class PostgresDeadLetters:
    """The table of dead letters."""

    def __init__(self, url: str) -> None:
        self._url = url

    def peek(self, limit: int = 100) -> list[DeadLetter]:
        """Return up to *limit* dead letters, oldest first.  Raises Unconfirmed."""
        with _session(self._url) as session:
            rows = queue_postgres.dead_letters(session, limit)
        return [
            DeadLetter(identity(body), queue, reason, detail, died_at, body)
            for queue, reason, detail, died_at, body in rows
        ]

    def replay(self, ids: Collection[str]) -> int:
        """Put the dead letters with *ids* back on their queues.  Raises Unconfirmed."""
        with _session(self._url) as session:
            scanned = session.run(queue_postgres.SCAN)
            rows = [row for row, body in scanned if identity(bytes(body)) in ids]
            queue_postgres.replay(session, rows)
        return len(rows)

    def move(self, keep: Callable[[list[DeadLetter]], None], limit: int) -> int:
        """Take up to *limit* dead letters away once *keep* has them.  Raises Unconfirmed."""
        with _session(self._url) as session:
            rows = queue_postgres.oldest_dead(session, limit)
            if rows:
                keep(
                    [
                        DeadLetter(identity(body), queue, reason, detail, died_at, body)
                        for _, queue, reason, detail, died_at, body in rows
                    ]
                )
                queue_postgres.forget_dead(session, [row[0] for row in rows])
        return len(rows)


def publisher(url: str, _fenced: bool) -> PostgresPublisher:  # noqa: FBT001 - as Transport calls it
    """Return a publisher; what a role may write to is PostgreSQL's to say."""
    return PostgresPublisher(url)


def declare(url: str, queues: Collection[str]) -> None:
    """Make *queues* and the tables, where they are not yet.  Raises Unconfirmed."""
    with _session(url) as session:
        queue_postgres.declare(session, queues)


def depths(url: str, queues: Collection[str]) -> dict[str, int]:
    """Return how many messages wait in each of *queues*, and dead ones.  Raises Unconfirmed."""
    with _session(url) as session:
        given = {"queues": list(queues), "dead": DEAD_LETTERS}
        rows = session.run(queue_postgres.DEPTHS, given)
    return dict.fromkeys(queues, 0) | {queue: int(count) for queue, count in rows}


@contextmanager
def _session(url: str) -> Iterator[Session]:
    with _unconfirmed_on_failure(), Session(url, name="queue") as session:
        yield session


@contextmanager
def _unconfirmed_on_failure() -> Iterator[None]:
    try:
        yield
    except (Disconnected, Refused) as exc:
        raise Unconfirmed(f"PostgreSQL: {exc}") from exc


@contextmanager
def _lost_on_failure() -> Iterator[None]:
    """Turn a lost connection into the failure that workers recover from."""
    try:
        yield
    except (Disconnected, Refused) as exc:
        raise ConnectionLost(f"PostgreSQL: {exc}") from exc
