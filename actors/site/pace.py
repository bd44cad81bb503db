"""How fast something comes, a while at a time.  Sans I/O: the caller has the clock."""

from dataclasses import dataclass
from typing import Final

WHILE_S: Final = 30.0


@dataclass(slots=True)
class Pace:
    """What came since *since* (seconds, monotonic)."""

    since: float
    while_s: float = WHILE_S
    _come: int = 0

    def took(self, length: int, now: float) -> float | None:
        """Count *length* bytes; return the bytes a second of a while that is over, else None."""
        self._come += length
        seconds = now - self.since
        if seconds < self.while_s:
            return None
        rate = self._come / seconds
        self.since, self._come = now, 0
        return rate
