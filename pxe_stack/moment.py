"""A point in time that outlives a process, by two clocks.

The wall clock may be set, and a machine whose battery is flat starts with a wrong one; the clock
of the running kernel cannot be set, and says nothing after a reboot.
"""

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """*wall* is in seconds since the epoch, *running* since the kernel called *boot* started."""

    wall: float
    boot: str
    running: float

    def seconds_until(self, later: "Moment") -> float | None:
        """Return the time from this moment to *later*, None when there was a reboot between."""
        return later.running - self.running if self.boot == later.boot else None


def now() -> Moment:
    """Return this moment; time in which the machine slept counts."""
    return Moment(time.time(), this_boot(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def this_boot() -> str:
    """Return the name of this run of the kernel."""
    return BOOT_ID.read_text().strip()
