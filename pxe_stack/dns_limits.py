"""How many replies by UDP a client may have, so that nobody is flooded through us.

Whoever forges another's address has our replies sent there.  Pure: the caller has the clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MOST_BUCKETS: Final = 8192
"""Clients watched at once; the longest known is forgotten for a new one."""


class Verdict(Enum):
    """What is sent: the reply, a request to come by TCP, or nothing."""

    SEND = auto()
    SLIP = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Rate:
    """Replies in a second, and at once after a rest."""

    per_second: float
    burst: float


NEAR: Final = Rate(500, 2000)
"""For one address of a provisioning network."""
FAR: Final = Rate(50, 200)
"""For the 256 addresses of any other /24 together."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    held: int = 0


class Limiter:
    """A bucket for each client; every second reply too many is a request to come by TCP."""

    def __init__(
        self,
        near: Callable[[str], bool],
        *,
        of_near: Rate = NEAR,
        of_far: Rate = FAR,
        most: int = MOST_BUCKETS,
    ) -> None:
        self._near = near
        self._of_near = of_near
        self._of_far = of_far
        self._most = most
        self._buckets: dict[str, _Bucket] = {}

    def take(self, client: str, now: float) -> Verdict:
        """Judge one reply to *client* at *now*, in seconds of any clock that does not go back."""
        near = self._near(client)
        rate = self._of_near if near else self._of_far
        bucket = self._bucket(client if near else client.rpartition(".")[0], rate, now)
        bucket.left = min(rate.burst, bucket.left + (now - bucket.at) * rate.per_second)
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return Verdict.SEND
        bucket.held += 1
        return Verdict.SLIP if bucket.held % 2 else Verdict.DROP

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, key: str, rate: Rate, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = _Bucket(rate.burst, now)
        return bucket
