"""Answers to strangers who differ in nothing but who they are, taken from the answer to the first.

Pure.  What a packet says beside its client's own values decides all of an answer but the address
and its time; so it is coded once, by the rules of dhcp and the codec of packets, and the values are
patched in.  Who may have which address is decided for each, by the same rules.  Whatever this does
not know is answered the long way: machines with a plan, renewals, iPXE, a relay's own option.
"""

import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import Final, NamedTuple

from models.bootnet import Mode
from pxe_stack import dhcp_dynamic
from pxe_stack.canary_mark import MACS as CANARIES
from pxe_stack.dhcp_boot import asks_to_boot, is_ipxe
from pxe_stack.dhcp_networks import Net, Snapshot, dotted
from pxe_stack.dhcp_reply import CLIENT_PORT, times
from pxe_stack.leases import Act, Change, Leases
from pxe_stack.packets import ANY, SERVER_PORT, Kind, Option, Reply, Request

MOST: Final = 512
"""Forms that are kept; firmware has a few dozen, and who invents more is answered the long way."""
AGAIN_S: Final = 60.0
"""How long MOST forms are kept at least, before others may take their place."""
_MOST_CUTS: Final = 4

_OPTIONS: Final = 240
_TIMES_AT, _TIMES_END = _OPTIONS + 9, _OPTIONS + 9 + 18
_REQUESTED, _CLIENT_ID, _MACHINE_ID = 50, 61, 97
_OWN: Final = frozenset({12, _REQUESTED, _CLIENT_ID, 81, _MACHINE_ID})
"""Options whose values are a client's own: they are its address, given back, or passed over."""
_UNLIKE: Final = frozenset({int(Option.OVERLOAD), int(Option.RELAY)})
_ECHOED: Final = (_CLIENT_ID, _MACHINE_ID)
_FIXED: Final = "!3sx4s2x6s8x4s6s202x"
"""op, htype, hlen · xid · flags, ciaddr · giaddr · MAC: of these xid and MAC are the client's."""
_ALIKE: Final = (0, 2, 3)
_XID, _MAC, _AREA = 1, 4, 5
_HOLD: Final = Act.HOLD
_DISCOVER: Final = Kind.DISCOVER
_CANARIES: Final = bytes.fromhex(CANARIES.replace(":", ""))


class Form(NamedTuple):
    """What all clients of one kind are told, in the pieces around what is each one's own.

    *to* is None where each is answered at its own address; *echoed* are what stands before each
    value that is given back, and which part of the packet that is.  *boots*: a machine that asks so
    is a discovery.
    """

    asks: Kind
    says: Kind
    net: Net
    relay: str
    boots: bool
    to: tuple[str, int] | None
    pieces: tuple[bytes, bytes, bytes, bytes, bytes, bytes]
    echoed: tuple[tuple[bytes, int], ...]
    wanted: int | None
    client: int | None

    def filled(self, parts: tuple[bytes, ...], address: int, seconds: int) -> bytes:
        """Return the reply to the packet of *parts* that gives *address* for *seconds*."""
        head, flags, servers, fields, constant, tail = self.pieces
        yiaddr = address.to_bytes(4, "big")
        known = (head, parts[_XID], flags, yiaddr, servers, parts[_MAC], fields, times(seconds))
        if not self.echoed:
            return b"".join((*known, constant, tail))
        echoed = [piece for before, at in self.echoed for piece in (before, parts[at])]
        return b"".join((*known, constant, *echoed, tail))


class Filled(NamedTuple):
    """*data* goes to *to* when *change* has been made; *address* is what it gives *mac*."""

    form: Form
    mac: bytes
    address: int
    data: bytes
    to: tuple[str, int]
    change: Change | None


class _Cut:
    """Where packets of one length and order of options have what is the client's own."""

    def __init__(self, size: int, spots: list[tuple[int, int]]) -> None:
        area, at = "", _OPTIONS - 4
        for begun, length in spots:
            area += f"{begun - at}s{length}s"
            at = begun + length
        self.layout = _FIXED + area + f"{size - at}s"
        self.parts = struct.Struct(self.layout).unpack
        alike = range(_AREA, _AREA + 2 * len(spots) + 1, 2)
        self.alike = itemgetter(*_ALIKE, *alike)
        self.forms: dict[tuple[bytes, ...], Form] = {}


class Forms:
    """The forms that were learned of the answers of one *snapshot*."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._reserved = frozenset(bytes.fromhex(m.replace(":", "")) for m in snapshot.reservations)
        self._cuts: dict[int, list[_Cut]] = {}
        self._count = 0
        self._since = 0.0

    def fill(self, raw: bytes, leases: Leases, now: float) -> Filled | None:
        """Return the answer to the packet *raw* on port 67; None: decide on it the long way."""
        for cut in self._cuts.get(len(raw), ()):
            parts = cut.parts(raw)
            form = cut.forms.get(cut.alike(parts))
            if form is not None:
                mac = parts[_MAC]
                if mac in self._reserved or mac.startswith(_CANARIES):
                    return None
                return _filled(form, parts, leases, now)
        return None

    def learn(
        self,
        raw: bytes,
        request: Request,
        net: Net | None,
        *,
        reply: Reply,
        data: bytes,
        now: float,
    ) -> None:
        """Remember *reply*, coded as *data*, to *request*: *raw* of a stranger on *net*."""
        if net is None or not _can_be_learned(request, net, reply):
            return
        own = list(_own(raw))
        spots = {code: (at, length) for code, at, length in own}
        if len(spots) < len(own) or not self._has_room(now):
            return
        cuts = self._cuts.setdefault(len(raw), [])
        made = _Cut(len(raw), list(spots.values()))
        cut = next((each for each in cuts if each.layout == made.layout), made)
        parts = cut.parts(raw)
        at = {code: _AREA + 1 + 2 * n for n, code in enumerate(spots)}
        form = _form(request, net, reply, data, at)
        seconds = int.from_bytes(data[_TIMES_AT + 2 : _TIMES_AT + 6], "big")
        if form.filled(parts, int.from_bytes(data[16:20], "big"), seconds) != data:
            return  # overloaded, or cut short to what the client takes
        if cut is made:
            cuts[_MOST_CUTS - 1 :] = []
            cuts.insert(0, cut)
        cut.forms[cut.alike(parts)] = form
        self._count += 1

    def _has_room(self, now: float) -> bool:
        if self._count < MOST:
            return True
        if 0 <= now - self._since < AGAIN_S:
            return False
        self._cuts.clear()
        self._count, self._since = 0, now
        return True


def _filled(form: Form, parts: tuple[bytes, ...], leases: Leases, now: float) -> Filled | None:
    mac = parts[_MAC]
    client = b"\x01" + mac if form.client is None else parts[form.client]
    wanted = None if form.wanted is None else int.from_bytes(parts[form.wanted], "big")
    decide = _offered if form.asks is _DISCOVER else _confirmed
    decided = decide(form.net, leases, client, wanted, now=now)
    if decided is None:
        return None
    address, seconds, change = decided
    to = form.to or (dotted(address), CLIENT_PORT)
    return Filled(form, mac, address, form.filled(parts, address, seconds), to, change)


_Decided = tuple[int, int, Change | None] | None
"""An address, for how many seconds it is told, and what makes it so; None is for the long way."""


def _offered(
    net: Net, leases: Leases, client: bytes, wanted: int | None, *, now: float
) -> _Decided:
    address = leases.pick(net.id, client, wanted, now)
    if address is None:
        return None
    return address, net.told.lease_s, Change(_HOLD, client, address)


def _confirmed(
    net: Net, leases: Leases, client: bytes, wanted: int | None, *, now: float
) -> _Decided:
    if wanted is None or wanted not in net.span:
        return None
    found = dhcp_dynamic.leased(net, leases, client, wanted, now=now)
    return None if found is None else (wanted, *found)


def _can_be_learned(request: Request, net: Net, reply: Reply) -> bool:
    """Whether the answer to *request* depends on nothing but what a form knows of."""
    options = request.options
    if net.mode is not Mode.FULL or not net.alone or request.service != SERVER_PORT:
        return False
    if request.ciaddr != ANY or not _UNLIKE.isdisjoint(options) or is_ipxe(options):
        return False
    if request.mac.startswith(CANARIES) or options.get(_CLIENT_ID) == b"":
        return False
    if request.kind is _DISCOVER:
        return reply.kind is Kind.OFFER
    if request.kind is not Kind.REQUEST or reply.kind is not Kind.ACK:
        return False
    return Option.SERVER_ID in options and _REQUESTED in options


def _own(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (code, where its value begins, length) of each option that is the client's own."""
    at = _OPTIONS
    while at < len(raw) and raw[at] != 255:
        if raw[at] == 0:
            at += 1
            continue
        if raw[at] in _OWN:
            yield raw[at], at + 2, raw[at + 1]
        at += 2 + raw[at + 1]


def _form(request: Request, net: Net, reply: Reply, data: bytes, at: dict[int, int]) -> Form:
    """Return the form of *data*, whose *reply* has values in parts *at* of its request."""
    ends = _OPTIONS + len(reply.constant)
    echoed = [(code, value) for code, value in reply.options if code in _ECHOED]
    given = sum(2 + len(value) for _, value in echoed)
    return Form(
        request.kind,
        reply.kind,
        net,
        request.giaddr,
        request.kind is _DISCOVER and asks_to_boot(request),
        None if reply.to[0] == reply.yiaddr else reply.to,
        (
            *(data[:4], data[8:16], data[20:28], data[34:_TIMES_AT]),
            *(data[_TIMES_END:ends], data[ends + given :]),
        ),
        tuple((bytes((code, len(value))), at[code]) for code, value in echoed),
        at.get(_REQUESTED),
        at.get(_CLIENT_ID),
    )
