"""What streams are told, as text: Server-Sent Events (WHATWG HTML, §9.2).

Pure: nothing here knows a socket or a clock.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from models.events import About, DomainEvent
from models.host_events import Told

RETRY_MS: Final = 2000
FLEET_EVERY_S: Final = 1.0
EVERYTHING: Final = "*"
"""Stands for every machine, when hints may have been lost."""

STILL_HERE: Final = b": still here\n\n"


class Why(StrEnum):
    """Why a stream was ended: told to it, and a metric label, so a closed set."""

    TOO_SLOW = "too-slow"
    EXPIRED = "expired"
    LONG_ENOUGH = "long-enough"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stream may hear of, and wants to; None: all."""

    sites: frozenset[UUID] | None = None
    machine: UUID | None = None
    site: UUID | None = None
    kind: str | None = None

    def sees(self, site: UUID | None) -> bool:
        """Whether what happens at *site* may be told."""
        return self.sites is None or site in self.sites

    def wants(self, event: DomainEvent) -> bool:
        """Whether *event* is to be told."""
        subject = event.subject_id if event.about is About.MACHINE else None
        return (
            self.sees(event.site_id)
            and self.machine in {None, subject}
            and self.site in {None, event.site_id}
            and self.kind in {None, event.kind}
        )


class Pace:
    """When to say that the fleet changed: at once, then seldom, and always in the end.

    Each time a page reads all of its tiles.
    """

    def __init__(self, every_s: float = FLEET_EVERY_S) -> None:
        self._every_s = every_s
        self._said_at = -math.inf
        self.owed = False

    def due(self, now: float, *, changed: bool) -> bool:
        """Note whether the fleet *changed*; return whether that is to be said at *now*."""
        self.owed = self.owed or changed
        if not self.owed or now < self._said_at + self._every_s:
            return False
        self.owed, self._said_at = False, now
        return True

    def wait_s(self, now: float) -> float:
        """Return the seconds until what is owed may be said."""
        return max(0.0, self._said_at + self._every_s - now)


def hints(machines: Iterable[str], *, fleet: bool = False) -> bytes:
    """Return hints: each machine by its id or EVERYTHING, and that the fleet changed."""
    text = "".join(map(_hint, sorted(machines)))
    return (text + ("event: fleet\ndata: changed\n\n" if fleet else "")).encode()


def events(told: Sequence[DomainEvent]) -> bytes:
    """Return CloudEvents, each with its number as the id that a caller resumes from."""
    each = (f"id: {one.id}\ndata: {json.dumps(one.cloud_event())}\n\n" for one in told)
    return "".join(each).encode()


def hosts(told: Sequence[Told]) -> bytes:
    """Return what happens to hosts, each with its number as the id that a caller resumes from."""
    each = (f"id: {one.id}\nevent: {one.word}\ndata: {json.dumps(one.data)}\n\n" for one in told)
    return "".join(each).encode()


def opening() -> bytes:
    """Return what every stream begins with."""
    return f"retry: {RETRY_MS}\n\n".encode()


def position(number: int) -> bytes:
    """Return what a caller resumes from, and hears nothing of."""
    return f"id: {number}\n\n".encode()


def reset(newest: int) -> bytes:
    """Return that events after what the caller heard last are not kept any more: read all again."""
    told = json.dumps({"newest": newest})
    return f"id: {newest}\nevent: reset\ndata: {told}\n\n".encode()


def ended(why: Why, retry_ms: int = RETRY_MS) -> bytes:
    """Return the last words of a stream; its caller comes again after *retry_ms*."""
    return f"retry: {retry_ms}\nevent: ended\ndata: {why}\n\n".encode()


def _hint(machine: str) -> str:
    name = "everything" if machine == EVERYTHING else f"machine-{machine}"
    return f"event: {name}\ndata: {machine}\n\n"
