"""What happens around every message: too old is not worked on, failed is a dead letter.

dramatiq's Retries, Pipelines, Results, Callbacks and AgeLimit are not used: retry lives in the
engine, and what ends here has ended.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import dramatiq
import structlog
from dramatiq.middleware import CurrentMessage, Middleware, SkipMessage, TimeLimit

from actors.broker_contract import Reason, Unworkable
from models import names
from models.errors import DomainError

TIME_LIMIT_MS: Final = 60_000
"""How long an actor may run that does not say otherwise."""

log = structlog.get_logger()


class Expired(Unworkable, SkipMessage):
    """A message past its `expires_at`: whoever promised it has stopped waiting."""

    def __init__(self, late_ms: int) -> None:
        super().__init__(Reason.EXPIRED, f"{late_ms} ms too late")


class Expiry(Middleware):
    """Ends messages that are past their option `expires_at` (milliseconds since the epoch).

    The consumer checks, because RabbitMQ expires a quorum queue's messages only at its head.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        expires_at = message.options.get("expires_at")
        now = int(self._clock() * 1000)
        if expires_at is not None and now >= expires_at:
            message.fail()
            raise Expired(now - expires_at)


class StillOurs(Middleware):
    """Skips messages that waited here when their connection ended: they are delivered again."""

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        if message.consumer.closed:
            raise SkipMessage("it comes again")


class FailureIsFinal(Middleware):
    """Marks a message whose actor raised as failed, so that it is not acknowledged.

    What the domain refuses is no fault of this process: its dead letter says why, and dramatiq
    writes no trace of it.
    """

    def after_declare_actor(self, broker: dramatiq.Broker, actor: Any) -> None:
        actor.options.setdefault("throws", (DomainError, Unworkable))

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if exception is not None:
            message.fail()


class MessageContext(Middleware):
    """Binds the ids of the message at hand to every log line that its actor writes."""

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            message=message.message_id, actor=message.actor_name, queue=message.queue_name
        )
        if asked_by := _request_id(message.kwargs):
            structlog.contextvars.bind_contextvars(request_id=asked_by)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        structlog.contextvars.clear_contextvars()

    after_skip_message = after_process_message


class Counts(Middleware):
    """Counts what became of messages in this process, and the seconds that they took."""

    def __init__(self) -> None:
        self.messages: Counter[tuple[str, str]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._mine = threading.local()
        self._lock = threading.Lock()

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        self._mine.begun = time.monotonic()

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        now = time.monotonic()
        took_s = now - getattr(self._mine, "begun", now)
        with self._lock:
            self.messages[message.actor_name, "failed" if exception else "done"] += 1
            self.seconds[message.actor_name] += took_s

    def after_skip_message(self, broker: dramatiq.Broker, message: Any) -> None:
        with self._lock:
            self.messages[message.actor_name, "skipped"] += 1


COUNTS: Final = Counts()
"""Of this process."""


def _request_id(kwargs: Any) -> str:
    """Return the id of the request that a message came of, "" where it came of none."""
    told = kwargs if isinstance(kwargs, dict) else {}
    for name in ("message", "envelope"):
        inner = told.get(name)
        told = inner if isinstance(inner, dict) else told
    given = told.get("request_id", "")
    # Agents say it themselves: what is no id of ours does not reach a log line.
    return given if isinstance(given, str) and names.REQUEST_ID.fullmatch(given) else ""


def for_workers(*, judges_ages: bool = False) -> list[Middleware]:
    """Return the middleware of a broker that a worker consumes from.

    *judges_ages*: the actor itself does, by another clock than this computer's.
    """
    return [
        MessageContext(),
        StillOurs(),
        CurrentMessage() if judges_ages else Expiry(),
        FailureIsFinal(),
        TimeLimit(time_limit=TIME_LIMIT_MS),
        COUNTS,
    ]
