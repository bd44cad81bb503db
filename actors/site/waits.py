"""What is told of plans that wait for a file: news at once, the same now and then.  Sans I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from actors.site.download import Fetching, Unfetched
from models.bootplan import BootPlan

TELL_S: Final = 30.0
"""Between two rows that say the same of a plan."""


@dataclass(slots=True)
class _Wait:
    version: int
    come: int = 0
    told_at: dict[type[Unfetched], float] = field(default_factory=dict)


class Waits:
    """The plans that wait, by machine."""

    def __init__(self) -> None:
        self._waits: dict[UUID, _Wait] = {}

    def due(self, plan: BootPlan, exc: Unfetched, now: float) -> Mapping[str, Any] | None:
        """Return what is to be told of *exc* at *now* (seconds, monotonic), None for nothing.

        `grows` says that more has come than when it was told last.
        """
        wait = self._waits.get(plan.machine)
        if wait is None or wait.version != plan.version:
            wait = self._waits[plan.machine] = _Wait(plan.version)
        at = wait.told_at.get(type(exc))
        if at is not None and now - at < TELL_S:
            return None
        wait.told_at[type(exc)] = now
        if not isinstance(exc, Fetching):
            return {"reason": str(exc), "grows": False}
        grows, wait.come = exc.come > wait.come, max(wait.come, exc.come)
        return {"reason": str(exc), "grows": grows, "come": exc.come, "size": exc.size}

    def over(self, plan: BootPlan) -> None:
        """Forget *plan*: it waits no longer."""
        self._waits.pop(plan.machine, None)
