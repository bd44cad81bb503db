"""Networks, clients and leases for tests of DHCP, so that each argument in a test matters."""

from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from models.bootnet import BootNetwork, Mode
from pxe_stack import dhcp
from pxe_stack.dhcp import Answer, Ignored, Server, Snapshot, View
from pxe_stack.leases import Leases, Share
from pxe_stack.net_store import Range
from pxe_stack.packets import Kind, Option, Request
from tests.pxe_stack import make

NET = UUID("00000000-0000-4000-8000-00000000cafe")
FAR = UUID("00000000-0000-4000-8000-00000000beef")
SERVER = Server(address="10.77.0.1", tftp="10.77.0.1", boot_url=make.URL, key=make.KEY)
POOL = ("10.77.0.100", "10.77.0.109")
LEASE_S = 600


def network(mode=Mode.FULL, **changes) -> BootNetwork:
    given = {
        "network": NET,
        "name": "rack",
        "cidr": IPv4Network("10.77.0.0/24"),
        "mode": mode,
        "gateway": IPv4Address("10.77.0.254"),
        "dns": (IPv4Address("10.77.0.1"),),
        "domain": "rack.test",
        "lease_s": LEASE_S,
        "pool_first": IPv4Address(POOL[0]),
        "pool_last": IPv4Address(POOL[1]),
    }
    return BootNetwork(**given | changes)


def far(mode=Mode.FULL, **changes) -> BootNetwork:
    """A network behind a relay."""
    given = {
        "network": FAR,
        "name": "far",
        "cidr": IPv4Network("10.88.0.0/24"),
        "gateway": IPv4Address("10.88.0.1"),
        "pool_first": IPv4Address("10.88.0.50"),
        "pool_last": IPv4Address("10.88.0.59"),
    }
    return network(mode, **given | changes)


def whole(net: BootNetwork) -> Range:
    return Range(net.network, net.pool_first, net.pool_last)


def address(text: str) -> bytes:
    return IPv4Address(text).packed


def number(text: str) -> int:
    return int(IPv4Address(text))


def mac(n: int) -> str:
    return f"52:54:00:aa:{n >> 8:02x}:{n & 255:02x}"


class Site:
    """One DHCP process without sockets: what it is asked, it answers, at the time *now*."""

    def __init__(self, *networks, ranges=None, reservations=None, share=Share(), server=SERVER):  # noqa: B008 - a frozen value
        ranges = [whole(each) for each in networks] if ranges is None else ranges
        taken = {mac: number(each) for mac, each in (reservations or {}).items()}
        self.snapshot = Snapshot.of(server, networks, ranges, taken)
        self.leases = Leases(share)
        self.snapshot.configure(self.leases)
        self.now = 1000.0
        self.tries = 1
        self.written = []

    def ask(self, request: Request, known=None):
        """Return the reply, or Ignored."""
        view = View(self.leases, self.now, self.tries)
        decided = dhcp.answer(request, known, self.snapshot, view)
        if decided.change is not None:
            lease = self.leases.apply(decided.change, self.now)
            self.written += [] if lease is None else [lease]
        assert isinstance(decided, Answer | Ignored)
        return decided.reply if isinstance(decided, Answer) else decided

    def discover(self, n: int, options=(), **fields):
        return self.ask(asks(n, Kind.DISCOVER, options, **fields))

    def select(self, n: int, wanted: str, options=(), **fields):
        chosen = {
            Option.SERVER_ID: address(self.snapshot.server.address),
            Option.REQUESTED_ADDRESS: address(wanted),
        }
        return self.ask(asks(n, Kind.REQUEST, chosen | dict(options), **fields))

    def lease(self, n: int, options=(), **fields) -> str:
        """Take a client through to its address, and return that."""
        offer = self.discover(n, options, **fields)
        ack = self.select(n, offer.yiaddr, options, **fields)
        assert (ack.kind, ack.yiaddr) == (Kind.ACK, offer.yiaddr)
        return ack.yiaddr

    def renew(self, n: int, held: str):
        return self.ask(asks(n, Kind.REQUEST, ciaddr=held))

    def reboot(self, n: int, wanted: str):
        return self.ask(asks(n, Kind.REQUEST, {Option.REQUESTED_ADDRESS: address(wanted)}))


def asks(n: int, kind=Kind.DISCOVER, options=(), **fields) -> Request:
    return Request(kind=kind, xid=n, mac=mac(n), options=dict(options), **fields)


def seconds(reply) -> int:
    return int.from_bytes(reply.told[Option.LEASE_TIME], "big")
