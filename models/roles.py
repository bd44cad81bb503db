"""Who may do what: three roles, each for all sites or for one."""

import re
from collections.abc import Mapping
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

LEAST: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "machine.commission": Role.OPERATOR,
        "machine.provision": Role.OPERATOR,
        "machine.power-on": Role.OPERATOR,
        "machine.power-off": Role.OPERATOR,
        "machine.reboot": Role.OPERATOR,
        "machine.boot-source": Role.OPERATOR,
        "workflow.cancel": Role.OPERATOR,
    }
)
"""The least role that each verb wants."""

_GRANT: Final = re.compile(r"([A-Za-z0-9._-]{1,64})=(viewer|operator|admin)(?:@([a-z0-9-]{1,40}))?")


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for the site with the slug *site*, or for all when it is None."""

    role: Role
    site: str | None = None

    def allows(self, verb: str, site: str) -> bool:
        """Whether the grant reaches to *verb* at *site*; a verb that has no row needs more."""
        least = LEAST.get(verb)
        enough = least is not None and ORDER.index(self.role) >= ORDER.index(least)
        return enough and self.site in {None, site}


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
