"""How a site answers on one network: a pure value, sent with the plans, kept in the site's store.

What a machine of its own is told stands in its boot plan; this is what holds for every client of a
network, known or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, Self
from uuid import UUID

LEASE_S: Final = 3600
"""Seconds that a dynamic lease is given for, where the network does not say."""


class Mode(StrEnum):
    """What DHCP does on a network; each of them also through a relay."""

    FULL = "full"
    """Reservations of known machines, and leases from the pool for all others."""

    RESERVED = "reserved"
    """Reservations alone: strangers are left to others."""

    PROXY = "proxy"
    """Addresses are another server's: boot options alone, on 67 and 4011."""

    OFF = "off"
    """Not a word."""


ELSEWHERE: Final = frozenset({Mode.PROXY, Mode.OFF})
"""Addresses are another server's: who takes them by DHCP has none that was given here."""


@dataclass(frozen=True, slots=True)
class Route:
    """A classless static route (RFC 3442): *to* by way of *via*."""

    to: IPv4Network
    via: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class BootNetwork:
    """One network as DHCP, DNS and the answer to IPv6 solicitations know it.

    *lease_s* is in seconds and *mtu* in bytes; *pool_first* and *pool_last* are the ends of the
    whole pool, of which an agent may lease its own ranges alone; *strangers_boot*: a proxy answers
    clients that no plan names (auto-proxy), and does not leave them alone; *answer_rs*: a router
    solicitation is answered with an advertisement that changes nothing, so that iPXE does not wait
    16 seconds for one; *loaders* are what machines of a kind (such as uefi-x64) are started by
    here, where it is not what the site has for them.
    """

    network: UUID
    name: str
    cidr: IPv4Network
    mode: Mode = Mode.RESERVED
    gateway: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    mtu: int | None = None
    routes: tuple[Route, ...] = ()
    lease_s: int = LEASE_S
    pool_first: IPv4Address | None = None
    pool_last: IPv4Address | None = None
    strangers_boot: bool = False
    answer_rs: bool = False
    loaders: tuple[tuple[str, str], ...] = ()

    def holds(self, address: IPv4Address) -> bool:
        """Whether *address* is of this network's pool, whichever agent leases it."""
        if self.pool_first is None or self.pool_last is None:
            return False
        return self.pool_first <= address <= self.pool_last

    def encode(self) -> dict[str, Any]:
        """Return the JSON form that crosses the queue and lies in the site's store."""
        return {
            "network": str(self.network),
            "name": self.name,
            "cidr": str(self.cidr),
            "mode": self.mode.value,
            "gateway": _text(self.gateway),
            "dns": [str(each) for each in self.dns],
            "ntp": [str(each) for each in self.ntp],
            "domain": self.domain,
            "search": list(self.search),
            "mtu": self.mtu,
            "routes": [[str(each.to), str(each.via)] for each in self.routes],
            "lease_s": self.lease_s,
            "pool_first": _text(self.pool_first),
            "pool_last": _text(self.pool_last),
            "strangers_boot": self.strangers_boot,
            "answer_rs": self.answer_rs,
            "loaders": dict(self.loaders),
        }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Self:
        """Return the network that *body* is; unknown keys are left out, missing ones are defaults.

        Raises ValueError, KeyError or TypeError.
        """
        mtu = body.get("mtu")
        return cls(
            network=UUID(body["network"]),
            name=str(body["name"]),
            cidr=IPv4Network(body["cidr"]),
            mode=Mode(body.get("mode", Mode.RESERVED)),
            gateway=_address(body.get("gateway")),
            dns=tuple(map(IPv4Address, body.get("dns", ()))),
            ntp=tuple(map(IPv4Address, body.get("ntp", ()))),
            domain=str(body.get("domain", "")),
            search=tuple(map(str, body.get("search", ()))),
            mtu=None if mtu is None else int(mtu),
            routes=tuple(
                Route(IPv4Network(to), IPv4Address(via)) for to, via in body.get("routes", ())
            ),
            lease_s=int(body.get("lease_s", LEASE_S)),
            pool_first=_address(body.get("pool_first")),
            pool_last=_address(body.get("pool_last")),
            strangers_boot=bool(body.get("strangers_boot", False)),
            answer_rs=bool(body.get("answer_rs", False)),
            loaders=_pairs(body.get("loaders", {})),
        )


def _pairs(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(kind), str(name)) for kind, name in dict(given).items()))


def _text(address: IPv4Address | None) -> str | None:
    return None if address is None else str(address)


def _address(text: str | None) -> IPv4Address | None:
    return None if text is None else IPv4Address(text)
