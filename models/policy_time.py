"""When policy lets things happen: freezes and windows, each in a time zone of its own."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From *start* to *end* by the clock on the wall, on *days*; past midnight if *end* is less.

    A night belongs to the day on which it began.  Start and end alike: the whole day.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    def holds(self, at: datetime) -> bool:
        """Whether *at* lies in the window."""
        local = at.astimezone(self.zone)
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        yesterday = (local - timedelta(days=1)).weekday()
        begun = day in self.days and clock >= self.start
        return begun or (yesterday in self.days and clock < self.end)

    def __str__(self) -> str:
        days = ", ".join(DAYS[day] for day in sorted(self.days))
        return f"{days} {self.start:%H:%M} to {self.end:%H:%M} {self.zone.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Nothing of *actions* happens between two moments; empty: nothing destructive.

    *sites* are slugs; empty: at every site.
    """

    name: str
    since: datetime
    until: datetime
    sites: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    because: str = ""

    def holds(self, at: datetime, site: str) -> bool:
        """Whether things are frozen at *site*."""
        return self.since <= at < self.until and (not self.sites or site in self.sites)

    @property
    def end(self) -> str:
        """When it is over, for a person."""
        return f"{self.until:%Y-%m-%d %H:%M %Z}"
