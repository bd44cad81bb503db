"""DHCP: bytes read, decided on, and coded, against leases that live from case to case."""

import json
import struct
from ipaddress import IPv4Address, IPv4Network

from models.bootnet import Mode
from models.phases import Phase
from pxe_stack import dhcp, packets
from pxe_stack.dhcp import Answer, Snapshot, View
from pxe_stack.dhcp_networks import number_of
from pxe_stack.dhcp_notes import Notes
from pxe_stack.dhcp_tries import Tries
from pxe_stack.directory import Known
from pxe_stack.leases import Act, Leases, client_key
from pxe_stack.packets import COOKIE, PROXY_PORT, SERVER_PORT, Kind, Malformed, Option
from tests.pxe_stack import make
from tests.pxe_stack.nets import SERVER, far, mac, network, whole

LONGEST = 1400
TOKENS = (COOKIE, b"PXEClient:Arch:00007:UNDI:003016", b"HTTPClient", b"iPXE", b"\x52\xff", b"\xff")

_PROXY = network(
    Mode.PROXY,
    network=make.AGENT,
    name="proxy",
    cidr=IPv4Network("10.99.0.0/24"),
    gateway=IPv4Address("10.99.0.1"),
    pool_first=None,
    pool_last=None,
    strangers_boot=True,
)
_OFF = network(
    Mode.OFF,
    network=make.SITE,
    name="off",
    cidr=IPv4Network("10.66.0.0/24"),
    gateway=None,
    pool_first=None,
    pool_last=None,
)
_NETS = (network(), far(), _PROXY, _OFF)
_KNOWN = Known(plan=make.plan(mac=mac(1)), phase=Phase.PXE_READY, authority=True)


class _Paper:
    """What rows are written on: each must be plain JSON, and none is kept."""

    def append_all(self, seen):
        for each in seen:
            json.dumps(each.encode())

    def count(self, counts): ...
    def flush(self): ...


class Case:
    """One process, without sockets; *held* is who has which address, by what was answered."""

    def __init__(self):
        nets = _NETS
        ranges = [whole(each) for each in nets if each.pool_first]
        reserved = {mac(1): number_of(make.ADDRESS)}
        self.snapshot = Snapshot.of(SERVER, nets, ranges, reserved)
        self.leases = Leases()
        self.snapshot.configure(self.leases)
        self.notes = Notes(_Paper())
        self.tries = Tries()
        self.now = 1000.0
        self.held = {}

    def one(self, data):
        """Take *data*: a byte of circumstances, one of seconds gone by, then the packet."""
        if len(data) < 2:
            return
        how, seconds, raw = data[0], data[1], data[2:]
        self.now += seconds / 16 if how & 4 else seconds * 4
        try:
            request = packets.parse(
                raw,
                (67, 68, 4711, 0)[how >> 3 & 3],
                ("0.0.0.0", "10.77.0.55", "10.99.0.7", "10.88.0.1")[how >> 5 & 3],
                PROXY_PORT if how & 1 else SERVER_PORT,
            )
        except Malformed as exc:
            self.notes.malformed(str(exc))
        else:
            self.decide(request, len(raw))
        self.notes.write()

    def decide(self, request, size):
        known = _KNOWN if request.mac == mac(1) else None
        view = View(self.leases, self.now, self.tries.of(request, self.now))
        decided = dhcp.answer(request, known, self.snapshot, view)
        if decided.change is not None:
            self.leases.apply(decided.change, self.now)
            if decided.change.act in {Act.RELEASE, Act.DECLINE}:
                self.held.pop(decided.change.address, None)
        if isinstance(decided, Answer):
            self.answered(request, decided.reply, known, size)
        else:
            self.notes.ignored(request, known, decided)
        if dhcp.discovered(request, known) and self.notes.is_new(request.mac):
            self.notes.discovered(request, packets.ANY)

    def answered(self, request, reply, known, size):
        raw = packets.build(reply)
        # A relay's own option comes back whole, however long; nothing else goes over the limit.
        relay = 2 * len(request.options.get(Option.RELAY, b"")) + 4
        assert len(raw) <= max(reply.limit, 300) + relay, (len(raw), reply.limit)
        assert struct.unpack_from("!I", raw, 4) == (request.xid,)
        assert raw[28:34].hex(":") == request.mac
        found = packets._options(raw, raw[108:236], raw[44:108])
        assert found[Option.MESSAGE_TYPE] == bytes((reply.kind,))
        self.notes.answered(request, known, reply, 0.0)
        if reply.kind is Kind.ACK and reply.yiaddr != packets.ANY and known is None:
            self.leased(request, reply)

    def leased(self, request, reply):
        client = client_key(request.mac, request.options.get(Option.CLIENT_ID))
        address = number_of(reply.yiaddr)
        holder, until = self.held.get(address, (client, 0.0))
        assert holder == client or until <= self.now, f"{reply.yiaddr} was given twice"
        seconds = int.from_bytes(reply.told[Option.LEASE_TIME], "big")
        self.held[address] = (client, self.now + seconds)


def packet(kind, options=(), *, n=1, ciaddr=0, giaddr=0, flags=0, secs=0, file=b"", sname=b""):
    """The bytes of a client's message; *n* is the end of its MAC."""
    given = [(53, bytes((kind,))), *options]
    coded = b"".join(bytes((code, len(value))) + value for code, value in given)
    head = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 7, secs, flags, ciaddr, 0, 0, giaddr)
    chaddr = bytes.fromhex(mac(n).replace(":", "")).ljust(16, b"\0")
    return (
        head + chaddr + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + COOKIE + coded + b"\xff"
    )


_UEFI = [(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7"), (97, b"\0" + bytes(range(16)))]
_PARAMETERS = (55, bytes((1, 3, 6, 12, 15, 26, 28, 42, 43, 51, 54, 58, 59, 60, 66, 67, 119, 121)))
_POOLED, _FAR = 0x0A4D0064, 0x0A580032


def seeds():
    """What real clients send in each state, and by hand what none should."""
    server, pooled = (54, bytes((10, 77, 0, 1))), (50, _POOLED.to_bytes(4, "big"))
    relayed = (82, b"\1\4eth0\5\4\x0a\x58\0\0\x13\0")
    sent = [
        packet(1, [_PARAMETERS, *_UEFI]),
        packet(1, [(60, b"PXEClient:Arch:00000:UNDI:002001"), (93, b"\0\0"), (57, b"\4\xec")], n=2),
        packet(1, [(60, b"HTTPClient:Arch:00016:UNDI:003016"), (93, b"\0\x10")], n=3),
        packet(1, [(77, b"iPXE"), (175, b"\xb1\5\1\x80\x86\x10\x0e"), *_UEFI], n=4),
        packet(1, n=5, flags=0x8000, secs=9),
        packet(3, [server, pooled, _PARAMETERS], n=5),
        packet(3, [pooled], n=5),
        packet(3, n=5, ciaddr=_POOLED),
        packet(3, [server, pooled, (61, b"\1another")], n=6),
        packet(4, [server, pooled], n=5),
        packet(7, [server], n=5, ciaddr=_POOLED),
        packet(8, [_PARAMETERS], n=5, ciaddr=_POOLED),
        packet(1, [relayed], n=8, giaddr=0x0A580001),
        packet(3, [server, (50, _FAR.to_bytes(4, "big")), relayed], n=8, giaddr=0x0A580001),
        packet(1, [*_UEFI], n=9, giaddr=0x0A630001),
        packet(1, [(118, bytes((10, 99, 0, 0))), *_UEFI], n=9),
        packet(1, [(52, b"\3")], file=b"\x3d\3\1ab\xff", sname=b"\x0c\2hi\xff"),
        packet(1, [(82, b"\x52\xff" + bytes(250))] * 3, giaddr=0x0A580001),
        packet(1, [(code, b"") for code in range(1, 255) if code not in {50, 53, 54, 57, 118}]),
        packet(1, [(57, b"\0\0")]),
        packet(1)[:250] + b"\x52\xff",
        b"",
        bytes(300),
    ]
    return [bytes((how, 1)) + raw for raw in sent for how in (0, 1, 0b0100000)]
