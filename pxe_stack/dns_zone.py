"""The names and addresses of one site, as an immutable value: what DNS answers from.

One forward zone, flat: a label for each host.  Reverse zones for its networks, cut where
in-addr.arpa is (RFC 1035 §3.5): a /22 is four zones of a /24, and a /26 shares the zone of its /24,
of which no other address is ours.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from socket import inet_aton
from typing import Final, Self

from pxe_stack.dns_wire import Name

ARPA: Final[Name] = (b"in-addr", b"arpa")
SERVER: Final = "ns"
BOOT: Final = "boot"

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_OCTETS: Final = {str(number).encode(): number for number in range(256)}


@dataclass(frozen=True, slots=True)
class Host:
    """A name, of which the first label counts, and its address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """What a site knows; addresses are packed, names are in lower case.

    *ranges* are the networks as (mask, base); *spans* are the reverse zones by their leading
    octets, and *whole* those of them that lie in the site's networks with every address.
    """

    domain: Name
    serial: int
    addresses: Mapping[bytes, tuple[bytes, ...]]
    names: Mapping[bytes, bytes]
    ordered: tuple[bytes, ...]
    ranges: tuple[tuple[int, int], ...]
    spans: frozenset[bytes]
    whole: frozenset[bytes]

    @classmethod
    def of(
        cls,
        domain: str,
        *,
        own: Iterable[Host],
        hosts: Iterable[Host],
        networks: Iterable[IPv4Network],
        serial: int,
    ) -> Self:
        """Return the zone of *hosts*, the earlier of which win; *own* names are never theirs."""
        addresses, names = _tables(own, hosts)
        nets = tuple(sorted(set(networks)))
        cut = {net: tuple(_spans(net)) for net in nets}
        return cls(
            domain=tuple(label.encode() for label in domain.lower().strip(".").split(".")),
            serial=serial,
            addresses=addresses,
            names=names,
            ordered=tuple(sorted(names)),
            ranges=tuple((int(net.netmask), int(net.network_address)) for net in nets),
            spans=frozenset(span for spans in cut.values() for span in spans),
            whole=frozenset(s for net, spans in cut.items() if net.prefixlen <= 24 for s in spans),
        )

    def same_as(self, other: "Zone") -> bool:
        """Whether both say the same, whatever their serials."""
        mine = (self.domain, self.addresses, self.names, self.ranges)
        return mine == (other.domain, other.addresses, other.names, other.ranges)

    def apex(self, name: Name) -> Name | None:
        """Return the name at the head of the zone that *name* (in lower case) lies in, or None."""
        if name[-len(self.domain) :] == self.domain:
            return self.domain
        octets = octets_of(name)
        if octets is None or not self._is_ours(octets):
            return None
        span = next((octets[:n] for n in (3, 2, 1) if octets[:n] in self.spans), None)
        return None if span is None else name[-(len(span) + len(ARPA)) :]

    def holds(self, address: str) -> bool:
        """Whether *address* lies in one of the site's networks."""
        return self._covers(inet_aton(address))

    def below(self, octets: bytes) -> bool:
        """Whether any address that begins with *octets* has a name."""
        at = bisect_left(self.ordered, octets)
        return at < len(self.ordered) and self.ordered[at].startswith(octets)

    def _is_ours(self, octets: bytes) -> bool:
        """Whether a name of *octets* is of a reverse zone of ours, and no foreign part of it."""
        if len(octets) < 4 or any(octets[:n] in self.whole for n in (3, 2, 1)):
            return True
        return self._covers(octets)

    def _covers(self, packed: bytes) -> bool:
        number = int.from_bytes(packed, "big")
        return any(number & mask == base for mask, base in self.ranges)


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 address, and no name."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def octets_of(name: Name) -> bytes | None:
    """Return the leading octets that a name below in-addr.arpa stands for, or None.

    What lies below a whole address keeps that address: it exists as little as its parent says.
    """
    if name[-2:] != ARPA:
        return None
    octets = [_OCTETS.get(label) for label in reversed(name[:-2][-4:])]
    known = [octet for octet in octets if octet is not None]
    return bytes(known) if len(known) == len(octets) else None


def _tables(
    own: Iterable[Host], hosts: Iterable[Host]
) -> tuple[dict[bytes, tuple[bytes, ...]], dict[bytes, bytes]]:
    addresses: dict[bytes, tuple[bytes, ...]] = {}
    names: dict[bytes, bytes] = {}
    for host in own:
        _add(addresses, names, host, once=False)
    reserved = frozenset(addresses)
    for host in hosts:
        if host.name.partition(".")[0].lower().encode() not in reserved:
            _add(addresses, names, host, once=True)
    return addresses, names


def _add(
    addresses: dict[bytes, tuple[bytes, ...]], names: dict[bytes, bytes], host: Host, *, once: bool
) -> None:
    label = host.name.partition(".")[0].lower()
    if not _LABEL.fullmatch(label):
        return
    key = label.encode()
    packed = inet_aton(host.address)
    if once and packed in names and names[packed] != key:
        return  # the address is another's: whoever was named first
    if packed not in addresses.get(key, ()):
        addresses[key] = (*addresses.get(key, ()), packed)
    names.setdefault(packed, key)


def _spans(network: IPv4Network) -> Iterable[bytes]:
    """Yield the leading octets of each reverse zone that *network* touches."""
    octets = min(3, max(1, (network.prefixlen + 7) // 8))
    if network.prefixlen >= octets * 8:
        yield network.network_address.packed[:octets]
        return
    for part in network.subnets(new_prefix=octets * 8):
        yield part.network_address.packed[:octets]
