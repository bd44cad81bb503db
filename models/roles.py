"""Who may do what: three roles, each for all sites or for one, and one table of what takes which.

The table is total: `edge` starts with no route whose action has no row.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.errors import Invalid


class Role(StrEnum):
    """From the least to the most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


ORDER: Final = tuple(Role)


class Reach(StrEnum):
    """Where a role must be held."""

    SITE = "site"
    """At the site of what is asked for, or for all sites."""

    SOME = "some"
    """At any site, or for all: what all sites share, to be read."""

    ALL = "all"
    """For all sites: what all sites share, to be changed."""


@dataclass(frozen=True, slots=True)
class Least:
    """The least role that an action takes, and where."""

    role: Role
    reach: Reach = Reach.SITE


_VIEWER: Final = Least(Role.VIEWER)
_OPERATOR: Final = Least(Role.OPERATOR)
_ADMIN: Final = Least(Role.ADMIN)

LEAST: Final[Mapping[str, Least]] = MappingProxyType(
    {
        "site.read": _VIEWER,
        "site.create": Least(Role.ADMIN, Reach.ALL),
        "site.update": _ADMIN,
        "site.delete": Least(Role.ADMIN, Reach.ALL),
        "site.enrol": _ADMIN,
        "network.read": _VIEWER,
        "network.create": _ADMIN,
        "network.update": _ADMIN,
        "network.delete": _ADMIN,
        "ip-allocation.read": _VIEWER,
        "machine.read": _VIEWER,
        "machine.create": _OPERATOR,
        "machine.update": _OPERATOR,
        "machine.delete": _ADMIN,
        "machine.allocate": _OPERATOR,
        "machine.commission": _OPERATOR,
        "machine.provision": _OPERATOR,
        "machine.reprovision": _OPERATOR,
        "machine.image": _OPERATOR,
        "machine.power-on": _OPERATOR,
        "machine.power-off": _OPERATOR,
        "machine.reboot": _OPERATOR,
        "machine.boot-source": _OPERATOR,
        "machine.remote-task": _OPERATOR,
        "machine.release": _OPERATOR,
        "machine.retire": _OPERATOR,
        "machine.maintain": _OPERATOR,
        "machine.resume": _OPERATOR,
        "machine.maintenance": _OPERATOR,
        "machine.deallocate": _OPERATOR,
        "machine.clear": _OPERATOR,
        "host.read": _VIEWER,
        "host.create": _OPERATOR,
        "host.delete": _ADMIN,
        "host.rebuild": _OPERATOR,
        "workflow.read": _VIEWER,
        "workflow.cancel": _OPERATOR,
        "workflow.confirm": _OPERATOR,
        "day2-action.read": Least(Role.VIEWER, Reach.SOME),
        "approval.read": _VIEWER,
        "approval.create": _OPERATOR,
        "action-execution.read": _VIEWER,
        "policy-decision.read": _VIEWER,
        "evidence.read": _VIEWER,
        "discovery.read": _VIEWER,
        "discovery.accept": _OPERATOR,
        "discovery.ignore": _OPERATOR,
        "sync-job.read": _VIEWER,
        "sync-job.create": _OPERATOR,
        "sync-job.cancel": _OPERATOR,
        "integration-job.read": _VIEWER,
        "integration-job.create": _ADMIN,
        # The endpoint is shown it, and control may read the secrets of all sites.
        "integration-job.lend-secret": Least(Role.ADMIN, Reach.ALL),
        "integration-job.run": _OPERATOR,
        "event.read": _VIEWER,
        "audit.read": _VIEWER,
        # The chain says something of every row, and checks nothing without them all.
        "audit-seal.read": Least(Role.VIEWER, Reach.ALL),
        "artifact.read": Least(Role.VIEWER, Reach.SOME),
        "artifact.create": Least(Role.OPERATOR, Reach.ALL),
        "artifact.update": Least(Role.OPERATOR, Reach.ALL),
        "artifact.delete": Least(Role.OPERATOR, Reach.ALL),
        "image.read": Least(Role.VIEWER, Reach.SOME),
        "image.create": Least(Role.OPERATOR, Reach.ALL),
        "image.update": Least(Role.OPERATOR, Reach.ALL),
        "image.delete": Least(Role.OPERATOR, Reach.ALL),
        "image-preparation.read": Least(Role.VIEWER, Reach.SOME),
        "image-preparation.create": Least(Role.OPERATOR, Reach.ALL),
        "image-preparation.delete": Least(Role.OPERATOR, Reach.ALL),
        "profile.read": Least(Role.VIEWER, Reach.SOME),
        "profile.create": Least(Role.OPERATOR, Reach.ALL),
        "profile.update": Least(Role.OPERATOR, Reach.ALL),
        "profile.delete": Least(Role.OPERATOR, Reach.ALL),
        "blob.read": Least(Role.VIEWER, Reach.SOME),
        "blob.put": Least(Role.OPERATOR, Reach.ALL),
        "dead-letter.read": Least(Role.OPERATOR, Reach.ALL),
        "dead-letter.replay": Least(Role.ADMIN, Reach.ALL),
        # A code lets a browser in as the admin.
        "sign-in-code.create": Least(Role.ADMIN, Reach.ALL),
        # At each site that a token is for: nobody gives away more than he has.
        "api-token.read": _ADMIN,
        "api-token.create": _ADMIN,
        "api-token.revoke": _ADMIN,
        "session.delete": Least(Role.VIEWER, Reach.SOME),
        "session.read": Least(Role.VIEWER, Reach.SOME),
        "contract.read": Least(Role.VIEWER, Reach.SOME),
    }
)
"""The least role that each action takes: `resource.verb`, `resource.read` for reading."""

_GRANT: Final = re.compile(r"([A-Za-z0-9._-]{1,64})=(viewer|operator|admin)(?:@([a-z0-9-]{1,40}))?")


_GROUP: Final = re.compile(
    r"/?sprout(?:-site:(?P<site>[A-Za-z0-9-]{1,40}))?:(?P<role>viewer|operator|admin)"
)
MOST_GROUPS: Final = 1000
"""Of one person; no more are read."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for the site with the slug *site*, or for all when it is None."""

    role: Role
    site: str | None = None

    def allows(self, action: str, site: str) -> bool:
        """Whether the grant reaches to *action* at *site*; an action without a row needs more."""
        least = LEAST.get(action)
        if least is None or not enough(self.role, least.role):
            return False
        return self.site is None or (least.reach is not Reach.ALL and self.site == site)


def enough(role: Role | None, least: Role) -> bool:
    """Whether *role* is *least* or more; None is no role."""
    return role is not None and ORDER.index(role) >= ORDER.index(least)


def most(roles: Iterable[Role]) -> Role | None:
    """Return the highest of *roles*, None without any."""
    return max(roles, key=ORDER.index, default=None)


def held(grants: Iterable[Grant], site: str | None) -> Role | None:
    """Return the highest role of *grants* at the site with the slug *site*; None: for all sites."""
    return most(grant.role for grant in grants if grant.site is None or grant.site == site)


def of_groups(groups: object) -> tuple[Grant, ...]:
    """Return the grants that an issuer's claim of *groups* stands for; the rest of it is nothing.

    `sprout:ROLE` is for all sites, `sprout-site:SITE:ROLE` for the one with that id or slug.
    """
    if not isinstance(groups, list | tuple):
        return ()
    read = (_GROUP.fullmatch(each) for each in groups[:MOST_GROUPS] if isinstance(each, str))
    found = {Grant(Role(match["role"]), match["site"]) for match in read if match is not None}
    return tuple(sorted(found, key=lambda grant: (grant.site or "", grant.role)))


def parsed(text: str) -> Mapping[str, tuple[Grant, ...]]:
    """Return the grants of `user=role[@site],…`, by user.  Raises Invalid."""
    found: dict[str, tuple[Grant, ...]] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        match = _GRANT.fullmatch(word)
        if match is None:
            raise Invalid(f"{word!r} is no grant", hint="Want user=role or user=role@site.")
        user, role, site = match.groups()
        found[user] = (*found.get(user, ()), Grant(Role(role), site))
    return MappingProxyType(found)
