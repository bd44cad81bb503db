"""Which tasks are this agent's now: no side effect happens without a lease.

Rule 1: a lease runs LEASE_S, on the clock of the running kernel, from the sending of a renewal that
        control answered with the task in its list; control waits longer before it grants to
        another.  Time in which this computer slept counts.
Rule 2: a task that an answered renewal no longer lists is not this agent's any more.
Rule 3: renewals that nobody answers let every lease run out: a site that is cut off starts nothing.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final
from uuid import UUID

import structlog

LEASE_S: Final = 30.0
RENEW_S: Final = 10.0
"""Seconds between two renewals; one lists everything that is held."""

TOGETHER_S: Final = 0.05
"""Seconds that a new task waits after the last renewal: tasks that come at once ask in one."""

MOST: Final = 2000
"""Tasks that one renewal lists, the oldest: the others have not begun, and fit no message."""

REMEMBERED: Final = 32
"""How many renewals may be under way at once: an answer to an older one is too old to help."""

log = structlog.get_logger()

Key = tuple[UUID, int]
"""A task and its epoch."""


def _running() -> float:
    """Return the seconds since the kernel started; CLOCK_MONOTONIC stands while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Gone(StrEnum):
    """Why a task is this agent's no longer."""

    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(slots=True)
class _Lease:
    """*asked* is the first renewal that listed the task; *until* on the clock of the kernel."""

    ready: Callable[[], None] | None
    asked: int | None = None
    until: float = 0.0
    gone: Gone | None = None


class Leases:
    """The tasks that were accepted and have not ended.  Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = _running) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[Key, _Lease] = {}
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._n = 0
        self._asked_at = self._due_at = float("-inf")
        self.wake: Callable[[], None] = lambda: None
        """Called when a renewal should go out at once."""

    def hold(self, task: UUID, epoch: int, ready: Callable[[], None]) -> None:
        """Ask for a lease on a task; *ready* is called once, when it is had or never will be."""
        with self._lock:
            self._held[task, epoch] = _Lease(ready)
            self._due_at = min(self._due_at, self._asked_at + TOGETHER_S)
        self.wake()

    def ask_again(self) -> None:
        """The last renewal may not have gone out: another is due."""
        with self._lock:
            self._due_at = self._clock()

    def drop(self, task: UUID, epoch: int) -> None:
        """The task has ended: it is renewed no more."""
        with self._lock:
            self._held.pop((task, epoch), None)

    def valid(self, task: UUID, epoch: int) -> bool:
        """Whether the task may have side effects now."""
        with self._lock:
            lease = self._held.get((task, epoch))
            return lease is not None and lease.gone is None and self._clock() < lease.until

    def gone(self, task: UUID, epoch: int) -> Gone | None:
        """Return why the task is this agent's no longer, None while it may still be."""
        with self._lock:
            lease = self._held.get((task, epoch))
            return Gone.LOST if lease is None else lease.gone

    def cancel(self, task: UUID, epoch: int) -> bool:
        """Take the lease away; False for a task that is not held."""
        with self._lock:
            lease = self._held.get((task, epoch))
            ready = None if lease is None else _end(lease, Gone.CANCELLED)
        if ready is not None:
            ready()
        return lease is not None

    def due_in(self) -> float:
        """Return the seconds until a renewal is to be sent, infinite while nothing is held."""
        with self._lock:
            return max(0.0, self._due_at - self._clock()) if self._held else float("inf")

    def renewal(self) -> dict[str, Any]:
        """Return the body of a renewal that is sent now: the time counts from here."""
        with self._lock:
            self._n += 1
            self._sent[self._n] = self._asked_at = self._clock()
            while len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
            self._due_at = self._asked_at + RENEW_S
            asked = dict(islice(self._held.items(), MOST))
            for lease in asked.values():
                lease.asked = lease.asked or self._n
            tasks = [{"task": str(task), "epoch": epoch} for task, epoch in asked]
            return {"n": self._n, "tasks": tasks}

    def answered(self, body: Mapping[str, Any]) -> None:
        """Take control's answer to a renewal.  Raises KeyError, TypeError or ValueError."""
        n = int(body["n"])
        listed = {(UUID(each["task"]), int(each["epoch"])) for each in body["tasks"]}
        with self._lock:
            sent_at = self._sent.pop(n, None)
            ready = [] if sent_at is None else self._settle(n, sent_at, listed)
        for call in ready:
            call()

    def _settle(self, n: int, sent_at: float, listed: Collection[Key]) -> list[Callable[[], None]]:
        calls = []
        for key, lease in self._held.items():
            if lease.asked is None or lease.asked > n:
                continue
            if key in listed:
                lease.until = max(lease.until, sent_at + LEASE_S)
                call, lease.ready = lease.ready, None
            else:
                log.warning("lease.lost", task=str(key[0]), epoch=key[1])
                call = _end(lease, Gone.LOST)
            calls.append(call)
        return [call for call in calls if call is not None]


def _end(lease: _Lease, why: Gone) -> Callable[[], None] | None:
    lease.gone = lease.gone or why
    call, lease.ready = lease.ready, None
    return call
