"""Machines that nobody entered and that ask to boot: what a site tells of one, read strictly.

All of it was written by a stranger on the site's network: it is bounded, and believed in nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any, Final, Self
from uuid import UUID

from models import names
from models.errors import Invalid
from models.observations import Observation

LONGEST_CLASS: Final = 64
"""Characters of a vendor class that are kept."""

_CODES: Final[Mapping[str, frozenset[int]]] = MappingProxyType(
    {
        "x86_64": frozenset({0, 6, 7, 9, 15, 16, 17, 20}),
        "arm64": frozenset({11, 19, 22, 24}),
    }
)
"""Our word for an architecture, and its codes of RFC 4578 as IANA has them."""

ARCHITECTURES: Final = tuple(_CODES)


class Verdict(StrEnum):
    """What an operator has said of a discovery."""

    NEW = "new"
    ACCEPTED = "accepted"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One time that a stranger was seen; *at* is in seconds since the epoch, by the site's clock.

    *arch* is a code of RFC 4578; *address* is what it was offered.
    """

    mac: str
    at: float
    smbios_uuid: UUID | None = None
    arch: int | None = None
    vendor_class: str = ""
    relay: str | None = None
    address: str | None = None

    @classmethod
    def of(cls, seen: Observation) -> Self | None:
        """Return what *seen* tells, None when it names no MAC that an interface can have."""
        data = seen.data
        try:
            mac = names.mac(str(seen.mac or data.get("mac")), field="mac")
        except Invalid:
            return None
        return cls(
            mac=mac,
            at=seen.at,
            smbios_uuid=_uuid(data.get("uuid")),
            arch=_code(data.get("arch")),
            vendor_class=_line(data.get("vendor_class")),
            relay=_address(data.get("relay")),
            address=_address(data.get("address")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryView:
    """A discovery as it is shown: *times* is how often it was told of."""

    id: UUID
    site_id: UUID
    site_slug: str
    mac: str
    state: Verdict
    smbios_uuid: UUID | None
    arch: int | None
    vendor_class: str
    relay: str | None
    address: str | None
    agent_id: UUID | None
    times: int
    first_seen: datetime
    last_seen: datetime
    machine_id: UUID | None
    decided_by: str
    decided_at: datetime | None

    @property
    def architecture(self) -> str | None:
        """The architecture of the machine that it would be, None where nobody can tell."""
        return architecture(self.arch)


def architecture(code: int | None) -> str | None:
    """Return what a machine that sends this code of RFC 4578 is, None when that is not known."""
    return next((word for word, codes in _CODES.items() if code in codes), None)


def hostname(mac: str) -> str:
    """Return a host name to begin with: no other machine of the site has it."""
    return f"node-{mac.replace(':', '')}"


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _code(value: Any) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16
    return value if known else None


def _line(value: Any) -> str:
    return "".join(c for c in str(value or "") if c.isprintable())[:LONGEST_CLASS]


def _address(value: Any) -> str | None:
    try:
        return str(IPv4Address(str(value)))
    except ValueError:
        return None
