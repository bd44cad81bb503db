"""How often in a time something is done for one client, and for all together.  Sans I/O."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Allowance:
    """At most *of_client* times in *window_s* seconds for each client, and *of_all* in sum."""

    of_client: int
    of_all: int
    window_s: float = 1.0
    _used: Counter[str] = field(default_factory=Counter)
    _sum: int = 0
    _since: float = 0.0

    def take(self, client: str, now: float) -> bool:
        """Count one for *client* at *now* (seconds, monotonic); whether it is within bounds."""
        if not 0 <= now - self._since < self.window_s:
            self._used.clear()
            self._sum, self._since = 0, now
        if self._sum >= self.of_all or self._used.get(client, 0) >= self.of_client:
            return False
        self._used[client] += 1
        self._sum += 1
        return True
