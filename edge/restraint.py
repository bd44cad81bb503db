"""How often a stranger makes us write: what is left out is counted, and told with the next.

Pure: the caller has the clock.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Final

WINDOW_S: Final = 60.0
FROM_ONE: Final = 10
"""Rows of a window for one address."""

FROM_ALL: Final = 120
"""Rows of a window for all addresses together, in one process."""

_MOST: Final = 1024
"""Addresses that are watched at once; the longest known is forgotten for a new one."""


@dataclass(slots=True)
class _Count:
    since: float
    written: int = 0
    left_out: int = 0


class Restraint:
    """Counts by address, and of all."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._all = _Count(0.0)
        self._by: dict[str, _Count] = {}

    def admit(self, source: str, now: float) -> int | None:
        """Return how many of *source* were left out since the last; None: leave this one out too.

        *now*: seconds of any clock that does not go back.
        """
        with self._lock:
            return self._admit(source, now)

    def _admit(self, source: str, now: float) -> int | None:
        mine = self._of(source, now)
        _turned(self._all, now)
        if mine.written >= FROM_ONE or self._all.written >= FROM_ALL:
            mine.left_out += 1
            return None
        mine.written += 1
        self._all.written += 1
        left_out, mine.left_out = mine.left_out, 0
        return left_out

    def _of(self, source: str, now: float) -> _Count:
        found = self._by.get(source)
        if found is None:
            if len(self._by) >= _MOST:
                del self._by[next(iter(self._by))]
            found = self._by[source] = _Count(now)
        _turned(found, now)
        return found


def _turned(count: _Count, now: float) -> None:
    """Begin a new window, if the last is over."""
    if now - count.since >= WINDOW_S:
        count.since, count.written = now, 0
