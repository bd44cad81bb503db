"""What time it is at control, whatever this computer's own clock says or is set to.

Rule 1: control's time is at least what its newest message bears, and the time since that was
        heard, on the clock of the running kernel, which nobody sets.
Rule 2: it is at most what the answer to a question bears, and the time since that was asked, so
        that a clock that was wrong for a while, here or at control, is not believed for ever.
Rule 3: after a reboot the time between is taken from the own clock, until Rule 2 has its turn.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final, Self
from uuid import uuid4

from actors.broker_contract import Reason, Unworkable
from actors.site.store import AgentStore
from pxe_stack import moment
from pxe_stack.moment import Moment

KEPT: Final = "control-clock"
"""Where in the agent's store the time lies."""

KEEP_S: Final = 30.0
"""How often it is written down."""

REMEMBERED: Final = 32
"""Questions that may be under way at once."""


@dataclass(frozen=True, slots=True)
class Age:
    """When control made a message, and when that dies of its age: seconds of control's clock."""

    made_at: float
    expires_at: float | None = None

    @classmethod
    def of(cls, message: Any) -> Self:
        """Return the age of *message*, as dramatiq delivers it."""
        expires_ms = message.options.get("expires_at")
        expires_at = None if expires_ms is None else expires_ms / 1000
        return cls(message.message_timestamp / 1000, expires_at)


@dataclass(frozen=True, slots=True)
class _Heard:
    """Control's time at a moment here."""

    at: float
    here: Moment

    def until(self, now: Moment) -> float:
        passed = self.here.seconds_until(now)
        return self.at + (max(0.0, now.wall - self.here.wall) if passed is None else passed)


class ControlClock:
    """Learns from messages that were found to be control's.  Safe to share between threads."""

    def __init__(self, store: AgentStore, now: Callable[[], Moment] = moment.now) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._heard = _restored(store.kept(KEPT))
        self._kept_at = float("-inf")
        self._asked: OrderedDict[str, Moment] = OrderedDict()

    def ask(self) -> str:
        """Return a question: control repeats it in its answer."""
        question = uuid4().hex
        with self._lock:
            self._asked[question] = self._now()
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return question

    def hear(self, made_at: float, *, answers: str = "") -> None:
        """Take the time that a message was made at; *answers* is the question in it, if any."""
        here = self._now()
        with self._lock:
            at = made_at if self._heard is None else max(made_at, self._heard.until(here))
            asked = self._asked.get(answers)
            passed = None if asked is None else asked.seconds_until(here)
            if passed is not None:
                at = min(at, made_at + passed)
            self._heard = _Heard(at, here)
            if passed is not None or here.running - self._kept_at >= KEEP_S:
                self._kept_at = here.running
                self._store.keep(KEPT, [at, *astuple(here)])

    def demand(self, age: Age) -> None:
        """Raise Unworkable for a message that is past its time."""
        now = self.time()
        if age.expires_at is not None and now is not None and now >= age.expires_at:
            late_ms = int((now - age.expires_at) * 1000)
            raise Unworkable(Reason.EXPIRED, f"{late_ms} ms too late by control's clock")

    def time(self) -> float | None:
        """Return control's time, None before it was ever heard."""
        with self._lock:
            return None if self._heard is None else self._heard.until(self._now())

    def offset_ms(self) -> int | None:
        """Return this computer's time less control's."""
        there = self.time()
        return None if there is None else round((self._now().wall - there) * 1000)


def _restored(kept: Any) -> _Heard | None:
    try:
        at, wall, boot, running = kept
        return _Heard(float(at), Moment(float(wall), str(boot), float(running)))
    except (TypeError, ValueError):
        return None
