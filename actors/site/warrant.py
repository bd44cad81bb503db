"""What a task may do at a BMC, asked anew before each side effect and after each pause.

Rule 1: a write leaves only under a valid lease, after its intent lies on the disk.
Rule 2: an intent has an outcome when the BMC answered it; one without may have happened.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from uuid import UUID

from actors.drivers.errors import LeaseLost
from actors.site.leases import Leases

QUIET_S: Final = 2.0
"""Least seconds between two reports of progress, and before the first."""

REPEAT_S: Final = 15.0
"""Least seconds between two reports of the same."""


NOT_SENT: Final = 0
"""The outcome of a write that was permitted and then, its lease being over, never sent."""

_OVER: Final = "the lease on this task is over; nothing more is done by this agent"


class Ledger(Protocol):
    """Where intents and outcomes are written down."""

    def intend(self, task: UUID, epoch: int, method: str, url: str) -> int: ...
    def conclude(self, intent: int, status: int) -> None: ...


class Progress:
    """Tells what a long task does, now and then; *tell* takes the data of a `task-progress`."""

    def __init__(
        self,
        tell: Callable[[Mapping[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._began = self._told_at = clock()
        self._told = ""

    def __call__(self, doing: str, **more: Any) -> None:
        """Tell of *doing*, and of *more*, unless something was told a moment ago."""
        now = self._clock()
        if now - self._told_at >= (REPEAT_S if doing == self._told else QUIET_S):
            self.at_once(doing, **more)

    def at_once(self, doing: str, **more: Any) -> None:
        """Tell of *doing*, however lately something was told."""
        now = self._clock()
        self._told, self._told_at = doing, now
        self._tell({"doing": doing, "seconds": round(now - self._began, 1), **more})


class Warrant:
    """One task's; used by the thread that performs it."""

    def __init__(
        self, leases: Leases, ledger: Ledger, task: UUID, epoch: int, progress: Progress
    ) -> None:
        self._leases = leases
        self._ledger = ledger
        self._task = task
        self._epoch = epoch
        self._open: int | None = None
        self.progress = progress

    def permit(self, method: str, url: str) -> None:
        """Return when the write may be sent, its intent being on the disk.  Raises LeaseLost."""
        if not self._leases.valid(self._task, self._epoch):
            raise LeaseLost(_OVER)
        intent = self._ledger.intend(self._task, self._epoch, method, url)
        if not self._leases.valid(self._task, self._epoch):  # the disk may have hung meanwhile
            self._ledger.conclude(intent, NOT_SENT)
            raise LeaseLost(_OVER)
        self._open = intent

    def answered(self, status: int) -> None:
        """The BMC answered the write that was permitted last with HTTP *status*; 0: it did not."""
        if self._open is not None and status:
            self._ledger.conclude(self._open, status)
        self._open = None

    def pause(self, seconds: float) -> None:
        """Wait for *seconds*.  Raises LeaseLost when the task was taken away meanwhile."""
        time.sleep(seconds)
        self.demand_kept()

    def demand_kept(self) -> None:
        """Return while the task is this agent's.  Raises LeaseLost when it was taken away."""
        if self._leases.gone(self._task, self._epoch) is not None:
            raise LeaseLost("the task was taken away from this agent")

    def demand_valid(self) -> None:
        """Return while the task may have side effects.  Raises LeaseLost."""
        if not self._leases.valid(self._task, self._epoch):
            raise LeaseLost(_OVER)
