"""Fewer rows under flood, with exact counts: the first of a kind is a row, the rest a number.

Pure: the caller has the clock.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Final

from models.observations import Observation

WINDOW_S: Final = 60.0
MOST_KEYS: Final = 2048
"""Keys watched at once; beyond that a flood of new ones is counted and makes no rows."""


@dataclass
class Tally:
    """Which repetitions are worth a row.  *counts* are exact, by the label that is given."""

    window_s: float = WINDOW_S
    most_keys: int = MOST_KEYS
    counts: Counter[str] = field(default_factory=Counter)
    _since: dict[Hashable, float] = field(default_factory=dict)
    _held: Counter[Hashable] = field(default_factory=Counter)

    def take(self, key: Hashable, label: str, now: float) -> int | None:
        """Count one.  Return how many of *key* were held back before, or None to hold this one."""
        self.counts[label] += 1
        since = self._since.get(key)
        if since is None and len(self._since) >= self.most_keys and not self._forget(now):
            return None
        if since is not None and 0 <= now - since < self.window_s:
            self._held[key] += 1
            return None
        self._since.pop(key, None)
        self._since[key] = now  # at the end: the oldest stand first
        return self._held.pop(key, 0)

    def damped(self, seen: Observation, now: float) -> Observation | None:
        """Count *seen*.  Return it with how many of its like it stands for, or None to drop it."""
        held_back = self.take(_likeness(seen), _label(seen), now)
        if not held_back:
            return None if held_back is None else seen
        return replace(seen, data={**seen.data, "held_back": held_back})

    def _forget(self, now: float) -> bool:
        """Drop keys whose window has passed; whether there is room again."""
        room = len(self._since) < self.most_keys
        while self._since:
            key, since = next(iter(self._since.items()))
            if 0 <= now - since < self.window_s:
                break
            del self._since[key]
            self._held.pop(key, None)
            room = True
        return room


def _likeness(seen: Observation) -> Hashable:
    return (seen.kind, seen.mac, seen.run, seen.data.get("why"), seen.data.get("client"))


def _label(seen: Observation) -> str:
    return f"{seen.kind.value} {seen.data.get('why', '')}".rstrip()
