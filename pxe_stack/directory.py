"""Who boots what, and where it is written down what was seen: the two sources of every answer.

At a site they are its own store (site_directory); mounted in the edge they are the database.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from models import bootplan
from models.bootplan import Access, BootPlan
from models.installer_calls import Caller
from models.observations import Observation
from models.phases import Phase
from pxe_stack.moment import Moment

CLOCK_SLACK_S: Final = 5.0
"""How far the clock may be behind the moment a plan was stored, before the plan fails closed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A plan that is kept here, and when it came."""

    plan: BootPlan
    since: Moment


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A verified artifact on this machine; *mtime_ns* is of the moment it was verified."""

    url_path: str
    location: Path
    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A machine's plan as it may be served here and now.

    *authority*: the plan destroys, this is its owner, and it has not run out.  *elsewhere* is the
    machine's network where another server gives the addresses, and *heard* the one that it took.
    """

    plan: BootPlan
    phase: Phase
    authority: bool
    elsewhere: IPv4Network | None = None
    heard: str | None = None

    def is_at(self, client: str) -> bool:
        """Whether *client* is this machine's address, as far as anybody knows."""
        return client == self.plan.addressing.address or (
            self.elsewhere is not None and client == self.heard
        )

    def may_be_at(self, client: str) -> bool:
        """Whether *client*, who has a token of this run, may be this machine.

        Where another server gives the addresses, any of that network may: what its server has
        confirmed is heard by nobody, and its client may be faster than what was asked for.
        """
        if self.is_at(client):
            return True
        return self.elsewhere is not None and IPv4Address(client) in self.elsewhere

    def opens(self, access: Access) -> bool:
        """Whether a token of class *access* opens anything now."""
        return self.authority and bootplan.opens(access, self.phase)


class Directory(Protocol):
    """Who knows what a machine should boot.  None means: a stranger."""

    def by_mac(self, mac: str) -> Known | None: ...
    def by_run(self, run: UUID) -> Known | None: ...
    def by_address(self, address: str) -> Known | None: ...
    def by_caller(self, caller: Caller) -> Known | None: ...
    def file(self, url_path: str) -> StoredFile | None: ...
    def chunks(self, url_path: str) -> str | None: ...


class Journal(Protocol):
    """Where observations go; returns when they are as safe as their kind demands."""

    def append(self, observation: Observation) -> int: ...
    def acked_at(self, mac: str) -> float | None: ...


def is_fresh(held: Held, now: Moment) -> bool:
    """Whether a plan may still destroy at *now*: not run out, and the clock has not gone back.

    After a reboot nobody knows how long that took: the plan is closed until control sends it again.
    """
    if now.wall < held.since.wall - CLOCK_SLACK_S:
        return False
    seconds = held.since.seconds_until(now)
    if seconds is None:
        return False
    return held.plan.valid_for <= 0 or seconds <= held.plan.valid_for
