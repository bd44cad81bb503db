"""What every client of a network is told alike: values of options, and how they are coded once.

Pure.  The same are coded by scapy from its layers (wire.constants), which is the oracle of these.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from models.bootnet import BootNetwork, Route
from models.bootplan import Addressing
from pxe_stack.packets import Option, coded

_ALWAYS: Final = frozenset({Option.SUBNET_MASK})
"""Told whether it is asked for or not: clients that list nothing else still need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The values, in our words; two networks that tell the same are equal."""

    cidr: IPv4Network
    gateway: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    ntp: tuple[IPv4Address, ...] = ()
    search: tuple[str, ...] = ()
    mtu: int | None = None
    routes: tuple[Route, ...] = ()


def of_network(net: BootNetwork) -> Told:
    """Return what strangers on *net* are told."""
    return Told(
        cidr=net.cidr,
        gateway=net.gateway,
        dns=net.dns,
        domain=net.domain,
        ntp=net.ntp,
        search=net.search,
        mtu=net.mtu,
        routes=net.routes,
    )


def of_plan(plan: Addressing, net: BootNetwork | None) -> Told:
    """Return what the machine with *plan* is told: its plan, and of *net* what no plan says."""
    return Told(
        cidr=IPv4Network(f"{plan.address}/{plan.prefix_length}", strict=False),
        gateway=IPv4Address(plan.gateway) if plan.gateway else None,
        dns=tuple(map(IPv4Address, plan.dns)),
        domain=plan.domain,
        ntp=() if net is None else net.ntp,
        search=() if net is None else net.search,
        mtu=None if net is None else net.mtu,
        routes=() if net is None else net.routes,
    )


def values(told: Told) -> Mapping[int, bytes]:
    """Return the options that *told* is, in the order in which they are sent."""
    # fmt: off
    found = {
        Option.SUBNET_MASK: told.cidr.netmask.packed,
        # A client that takes 121 ignores 3, so 121 stands first and holds the gateway (RFC 3442).
        Option.ROUTES: _routes(told),
        Option.ROUTER: told.gateway.packed if told.gateway else b"",
        Option.DNS: _addresses(told.dns),
        Option.DOMAIN: _ascii(told.domain),
        Option.MTU: b"" if told.mtu is None else told.mtu.to_bytes(2, "big"),
        Option.BROADCAST_ADDRESS: told.cidr.broadcast_address.packed,
        Option.NTP: _addresses(told.ntp),
        Option.SEARCH: _search(told.search),
    }
    # fmt: on
    return {int(code): value for code, value in found.items() if value}


class Constants:
    """The coded options of one Told, and what of them each list of parameters leaves."""

    def __init__(self, chunks: Mapping[int, bytes]) -> None:
        self._chunks = dict(chunks)

    @classmethod
    def of(cls, told: Told) -> "Constants":
        """Code *told* by our own codec."""
        return cls({code: coded(code, value) for code, value in values(told).items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and self._chunks == other._chunks

    __hash__ = object.__hash__

    def listed(self, parameters: bytes | None) -> bytes:
        """Return what a client is told that lists *parameters*; None: it lists none at all."""
        return b"".join(
            chunk
            for code, chunk in self._chunks.items()
            if parameters is None or code in parameters or code in _ALWAYS
        )


def _addresses(listed: Iterable[IPv4Address]) -> bytes:
    return b"".join(each.packed for each in listed)


def _ascii(text: str) -> bytes:
    return text.encode("idna") if not text.isascii() else text.encode("ascii")


def _routes(told: Told) -> bytes:
    """Code classless routes: prefix length, the bytes of the prefix that count, gateway."""
    if not told.routes:
        return b""
    rows = [(each.to, each.via) for each in told.routes]
    if told.gateway and all(to.prefixlen for to, _ in rows):
        rows.append((IPv4Network("0.0.0.0/0"), told.gateway))
    return b"".join(
        bytes((to.prefixlen,)) + to.network_address.packed[: (to.prefixlen + 7) // 8] + via.packed
        for to, via in rows
    )


def _search(domains: Iterable[str]) -> bytes:
    """Code domain names as DNS does, without compression, which RFC 3397 does not demand."""
    coded_names = b""
    for domain in domains:
        labels = [_ascii(label) for label in domain.strip(".").split(".") if label]
        if all(len(label) <= 63 for label in labels):
            coded_names += b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return coded_names
