"""The site as DHCP sees it: its networks, pools and reservations, as one value of one moment."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from socket import inet_aton, inet_ntoa
from typing import Final

from models.bootnet import BootNetwork, Mode
from pxe_stack import dhcp_told
from pxe_stack.dhcp_boot import USUAL, Server
from pxe_stack.dhcp_told import Constants, Told
from pxe_stack.directory import Known
from pxe_stack.leases import Leases, Pool, merged
from pxe_stack.net_store import Range
from pxe_stack.packets import ANY, LINK_SELECTION, Option, Request, suboptions

_MOST_REMEMBERED: Final = 4096

# Members of enumerations, by names of this module: to look one up in its class takes as long as
# a call, and these are looked up for every packet.
_RELAY: Final = int(Option.RELAY)
_SUBNET_SELECTION: Final = int(Option.SUBNET_SELECTION)


@dataclass(frozen=True, slots=True)
class Net:
    """One network, ready to be answered on.

    *pool* is what this agent may lease of it, *span* all its addresses.
    """

    told: BootNetwork
    pool: Pool
    constants: Constants
    span: range
    alone: bool
    """Whether no other agent leases of this network."""
    id: int
    mode: Mode
    loaders: Mapping[str, str]

    def pooled(self, address: int) -> bool:
        """Whether *address* is of this network's pool, whichever agent leases it."""
        first, last = self.told.pool_first, self.told.pool_last
        return first is not None and last is not None and int(first) <= address <= int(last)

    def falls_to_us(self, client: bytes) -> bool:
        """Whether this agent is the one that answers *client* at once.

        A hash of the client names an address of the whole pool; it falls to whose range that is.
        """
        first, last = self.told.pool_first, self.told.pool_last
        if self.alone or first is None or last is None:
            return True
        size = int(last) - int(first) + 1
        number = int.from_bytes(hashlib.blake2b(client, digest_size=8).digest(), "big")
        return int(first) + number % size in self.pool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Networks, reservations (address by MAC) and *server*, which are as they are for good."""

    server: Server
    nets: tuple[Net, ...] = ()
    reservations: Mapping[str, int] = field(default_factory=dict)
    own: Net | None = None
    _at: dict[str, Net | None] = field(default_factory=dict)
    _constants: dict[Told, Constants] = field(default_factory=dict)
    _coded: dict[tuple[object, ...], bytes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        server: Server,
        networks: Iterable[BootNetwork] = (),
        ranges: Iterable[Range] = (),
        reservations: Mapping[str, int] | None = None,
        coded: Mapping[Told, Constants] | None = None,
    ) -> "Snapshot":
        """Return the snapshot of a site; *coded* is what another has coded before."""
        constants = dict(coded or {})
        slices = list(ranges)
        nets = tuple(
            _net(network, slices, constants)
            for network in sorted(networks, key=lambda n: n.cidr.prefixlen, reverse=True)
        )
        here = number_of(server.address)
        own = next((net for net in nets if here in net.span), None)
        return cls(server, nets, reservations or {}, own, _constants=constants)

    def at(self, address: str) -> Net | None:
        """Return the smallest network that *address* is in."""
        try:
            return self._at[address]
        except KeyError:
            pass
        if len(self._at) >= _MOST_REMEMBERED:
            self._at.clear()
        found = number_of(address)
        net = next((net for net in self.nets if found in net.span), None)
        self._at[address] = net
        return net

    def locate(self, request: Request) -> Net | None:
        """Return the network that the client is on, None for one that nobody told us of.

        A relay names it by link selection (RFC 3527), a client by subnet selection (RFC 3011);
        else it is where the relay is, or where the client's own address is, which may speak to us
        across a router (RFC 2131 §4.3.2, renewing); else the one of our interface.
        """
        if not self.nets:
            return None
        options = request.options
        if _RELAY in options:
            link = suboptions(options[_RELAY]).get(LINK_SELECTION, b"")
            if len(link) == 4:
                return self.at(inet_ntoa(link))
        if _SUBNET_SELECTION in options:
            return self.at(inet_ntoa(options[_SUBNET_SELECTION]))
        if request.giaddr != ANY:
            return self.at(request.giaddr)
        if request.ciaddr != ANY:
            return self.at(request.ciaddr) or self.own
        return self.own

    def pools(self) -> tuple[Pool, ...]:
        """Return what may be leased."""
        return tuple(net.pool for net in self.nets if net.mode is Mode.FULL)

    def configure(self, leases: Leases) -> None:
        """Let *leases* come of these pools alone, and of no address that is somebody's already."""
        fixed = {number_of(self.server.address), number_of(self.server.tftp)}
        for net in self.nets:
            cidr, gateway = net.told.cidr, net.told.gateway
            fixed |= {int(cidr.network_address), int(cidr.broadcast_address)}
            fixed |= {int(gateway)} if gateway else set()
        leases.configure(self.pools(), frozenset(fixed.union(self.reservations.values())))

    def constants(self, known: Known, net: Net | None) -> Constants:
        """Return what *known* is told beside its address."""
        told = dhcp_told.of_plan(known.plan.addressing, None if net is None else net.told)
        found = self._constants.get(told)
        if found is None:
            found = self._remember_told(told)
        return found

    def remembered(self, key: tuple[object, ...]) -> bytes | None:
        """Return the coded options that were kept under *key*."""
        return self._coded.get(key)

    def remember(self, key: tuple[object, ...], options: bytes) -> bytes:
        """Keep *options* under *key*.  Clients choose keys: there is an end to them."""
        if len(self._coded) >= _MOST_REMEMBERED:
            self._coded.clear()
        self._coded[key] = options
        return options

    def _remember_told(self, told: Told) -> Constants:
        if len(self._constants) >= _MOST_REMEMBERED:
            self._constants.clear()
        return self._constants.setdefault(told, Constants.of(told))


def loaders_of(net: Net | None) -> Mapping[str, str]:
    """Return what machines of a kind are started by on *net*, where that is not the usual."""
    return USUAL if net is None else net.loaders


def number_of(address: str) -> int:
    """Return the dotted *address* as an integer."""
    return int.from_bytes(inet_aton(address), "big")


def dotted(address: int) -> str:
    """Return *address* as people write it."""
    return inet_ntoa(address.to_bytes(4, "big"))


def _net(network: BootNetwork, ranges: list[Range], coded: dict[Told, Constants]) -> Net:
    told = dhcp_told.of_network(network)
    constants = coded.setdefault(told, Constants.of(told))
    inside = [
        (int(each.first), int(each.last))
        for each in ranges
        if each.network == network.network
        and each.first in network.cidr
        and each.last in network.cidr
    ]
    cidr = network.cidr
    span = range(int(cidr.network_address), int(cidr.broadcast_address) + 1)
    pool = Pool(network.network.int, merged(inside))
    first, last = network.pool_first, network.pool_last
    whole = first is None or last is None or pool.size >= int(last) - int(first) + 1
    own = dict(network.loaders)
    return Net(network, pool, constants, span, whole, pool.network, network.mode, own)
