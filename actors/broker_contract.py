"""What every broker promises, in words that no broker owns.

Rule 1: a message is delivered at least once; order is not promised.
Rule 2: a message that cannot be worked on ends as a dead letter with a reason, never in a loop.
Rule 3: nothing is delayed, retried or answered by a queue: that is the engine's part.

* QueueError
  + Oversize      a message over the limit; nothing was sent
  + Unroutable    queues that nobody declared; the rest of the batch is stored
  + Unconfirmed   no answer, or a refusal: publish again, nothing is known
    + Stuck       the broker lives, and some of its queues did not answer
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

import dramatiq
import structlog
from dramatiq.errors import BrokerConnectionError

from models.messages import DELIVERIES, LIMIT

DEAD_LETTERS: Final = "sprout.dead-letters.1"
"""Where messages end that nobody could work on; the last part is the version of its arguments."""

MOST_DELIVERIES: Final = DELIVERIES

DETAIL_LIMIT: Final = 500
"""Characters of a dead letter's detail."""

# Any other option is dropped: some of dramatiq's would delay, fork or kill a worker.
OPTIONS: Final = frozenset({"expires_at", "time_limit"})

log = structlog.get_logger()


class Reason(StrEnum):
    """Why a message became a dead letter: a log field and a metric label, so a closed set."""

    REJECTED = "rejected"  # the actor raised
    TIME_LIMIT = "time-limit"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    UNKNOWN_ACTOR = "unknown-actor"
    DELIVERY_LIMIT = "delivery-limit"


class QueueError(Exception):
    """A message could not be handed over."""


class Oversize(QueueError):
    """A message over the limit of 256 KiB; nothing of its batch was sent."""

    def __init__(self, queue: str, size: int) -> None:
        super().__init__(f"a message of {size} bytes for {queue} is over {LIMIT}")
        self.queue = queue
        self.size = size


class Unroutable(QueueError):
    """Queues that nobody declared.  Messages of the same batch for other queues are stored."""

    def __init__(self, queues: Collection[str]) -> None:
        super().__init__(f"no such queue: {', '.join(sorted(queues))}")
        self.queues = frozenset(queues)


class Unconfirmed(QueueError):
    """The broker was unreachable, refused, or did not answer in time: publish again."""


class Stuck(Unconfirmed):
    """Queues that did not answer.  Messages of the same batch for other queues are stored."""

    def __init__(self, queues: Collection[str], after_s: float) -> None:
        super().__init__(f"no confirm within {after_s:.0f} s of {', '.join(sorted(queues))}")
        self.queues = frozenset(queues)


class ConnectionLost(BrokerConnectionError):
    """A consumer's connection is gone: dramatiq's worker makes a new consumer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # dramatiq hints no errors


class Unworkable(Exception):
    """A message that no worker can take, with the reason that its dead letter bears."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = printable(detail[:DETAIL_LIMIT])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that ended; *id* is the message's own, or a digest of an unreadable body."""

    id: str
    queue: str
    reason: str
    detail: str
    died_at: datetime | None
    body: bytes


class Publisher(Protocol):
    """Hands messages to a broker, durably.  Safe to share between threads."""

    def publish(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Store every (queue, encoded message), or raise a QueueError."""

    def close(self) -> None:
        """Let go of the connection; the next publish makes a new one."""


class DeadLetters(Protocol):
    """The messages that ended, oldest first."""

    def peek(self, limit: int = 100) -> list[DeadLetter]:
        """Return up to *limit* dead letters, which stay where they are."""

    def replay(self, ids: Collection[str]) -> int:
        """Put the dead letters with these ids back on their queues; return how many there were."""

    def move(self, keep: Callable[[list[DeadLetter]], None], limit: int) -> int:
        """Take up to *limit* dead letters away once *keep* has them; return how many."""


class QueueConsumer(dramatiq.Consumer):
    """One queue on one connection; when that ends, all that it delivered comes again."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Delivery(dramatiq.MessageProxy):
    """A message in a worker's hands, and the consumer that alone may settle it.

    A consumer that reconnects numbers its deliveries anew: settling one by another's number would
    lose a message.
    """

    def __init__(
        self, message: dramatiq.Message[Any], consumer: QueueConsumer, tag: int, body: bytes
    ) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.tag = tag
        self.body = body

    def __str__(self) -> str:
        """Return what logs say of it: never what is in it, which may be anything."""
        return f"{self.message_id} for {self.actor_name} ({len(self.body)} bytes)"

    def __repr__(self) -> str:
        return f"<Delivery {self}>"


def delivered_by(consumer: QueueConsumer, message: Delivery) -> bool:
    """Whether *consumer* may settle *message*: what an earlier connection held comes again."""
    if message.consumer is not consumer:
        log.info("queue.settled-too-late", message=message.message_id)
    return message.consumer is consumer


def check_sizes(batch: Iterable[tuple[str, bytes]]) -> None:
    """Raise Oversize for the first message over the limit."""
    for queue, body in batch:
        if len(body) > LIMIT:
            raise Oversize(queue, len(body))


def read(body: bytes, queue: str, actors: Mapping[str, Any]) -> dramatiq.Message[Any]:
    """Return the message that *body* encodes, if an actor of *actors* answers to it on *queue*.

    Raises Unworkable.  dramatiq itself checks no field, and loses a thread to each wrong one.
    """
    if len(body) > LIMIT:
        raise Unworkable(Reason.OVERSIZE, f"{len(body)} bytes")
    message = _message(_fields(body))
    if message.queue_name != queue:
        raise Unworkable(Reason.MALFORMED, f"addressed to {message.queue_name!r}")
    actor = actors.get(message.actor_name)
    if actor is None or actor.queue_name != queue:
        raise Unworkable(Reason.UNKNOWN_ACTOR, f"nobody answers to {message.actor_name!r} here")
    return message


def printable(text: str) -> str:
    """Return *text* fit for a header, a column and a log: no NUL, no surrogate, one line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def identity(body: bytes) -> str:
    """Return the id of the message in *body*, or a digest of what cannot be read."""
    try:
        return _message(_fields(body)).message_id
    except Unworkable:
        return f"sha256:{hashlib.sha256(body).hexdigest()[:32]}"


def blame(exception: BaseException | None) -> Unworkable:
    """Return what a dead letter says of a message whose actor ended with *exception*."""
    match exception:
        case Unworkable():
            return exception
        case dramatiq.middleware.TimeLimitExceeded():
            return Unworkable(Reason.TIME_LIMIT, "the actor ran out of time")
        case dramatiq.ActorNotFound():
            return Unworkable(Reason.UNKNOWN_ACTOR, str(exception))
        case _:
            return Unworkable(Reason.REJECTED, f"{type(exception).__name__}: {exception}")


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Unworkable(Reason.MALFORMED, f"not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise Unworkable(Reason.MALFORMED, "not a JSON object")
    return fields


def _message(fields: Mapping[str, Any]) -> dramatiq.Message[Any]:
    for name, kind in _SHAPE.items():
        if type(fields.get(name)) is not kind:
            raise Unworkable(Reason.MALFORMED, f"{name} is not {kind.__name__}")
    if not _ID.fullmatch(fields["message_id"]):
        raise Unworkable(Reason.MALFORMED, "message_id is no id")
    values = {name: fields[name] for name in _SHAPE}
    return dramatiq.Message(**values | {"options": _options(fields["options"])})


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    if "eta" in given:
        raise Unworkable(Reason.MALFORMED, "delayed messages are not taken")
    options = {name: given[name] for name in OPTIONS if name in given}
    for name, value in options.items():
        if type(value) is not int or not 0 < value < 2**53:
            raise Unworkable(Reason.MALFORMED, f"option {name} is not milliseconds")
    return options


_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SHAPE: Final[Mapping[str, type]] = MappingProxyType(
    {
        "queue_name": str,
        "actor_name": str,
        "args": list,
        "kwargs": dict,
        "options": dict,
        "message_id": str,
        "message_timestamp": int,
    }
)
