"""DHCP packets as values: a struct codec, sans I/O (RFC 2131, 2132, 3396).

Reading is strict where a reply depends on it, and forgiving where firmware is known to be careless:
a missing end option, padding after it, and repeated options are all accepted.
"""

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from socket import inet_aton, inet_ntoa
from types import MappingProxyType
from typing import Final, NamedTuple

COOKIE: Final = b"\x63\x82\x53\x63"
ANY: Final = "0.0.0.0"  # noqa: S104 - the address of a client that has none yet
BROADCAST: Final = "255.255.255.255"
SERVER_PORT: Final = 67
"""Where servers and relays listen."""
PROXY_PORT: Final = 4011
"""Where boot servers listen beside a DHCP server of somebody else (PXE 2.1 §2.2)."""
FILE_ROOM: Final = 127
"""Bytes of a boot file name that fit in the fixed field, before its NUL."""

_FIXED: Final = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_HEAD: Final = _FIXED.size
_SHORTEST_REPLY: Final = 300
"""Bytes that a BOOTP message had; some ROMs and relays drop shorter ones."""
_BROADCAST_FLAG: Final = 0x8000
_SMALLEST_LIMIT: Final = 576 - 28
"""Bytes of DHCP that every client takes: 576 less the IP and UDP headers (RFC 2131 §2)."""
_PRINTABLE: Final = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))
_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})


class Malformed(Exception):
    """The bytes are no DHCP request that could be answered; says why."""


class Kind(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options that are read or written here, by their IANA numbers."""

    SUBNET_MASK = 1
    ROUTER = 3
    DNS = 6
    HOST_NAME = 12
    DOMAIN = 15
    MTU = 26
    BROADCAST_ADDRESS = 28
    NTP = 42
    VENDOR = 43
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETERS = 55
    MESSAGE = 56
    MAX_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_ID = 61
    TFTP_SERVER = 66
    BOOT_FILE = 67
    USER_CLASS = 77
    RELAY = 82
    ARCHITECTURE = 93
    MACHINE_ID = 97
    SUBNET_SELECTION = 118
    SEARCH = 119
    ROUTES = 121
    IPXE = 175


LINK_SELECTION: Final = 5
"""Sub-option of RELAY: the subnet that the client is on, where giaddr is not in it (RFC 3527)."""
RELAY_PORT: Final = 19
"""Sub-option of RELAY: the relay does not listen on port 67 (RFC 8357 §5.1); it is empty."""

_LENGTHS: Final[Mapping[int, int]] = {
    Option.MESSAGE_TYPE: 1,
    Option.REQUESTED_ADDRESS: 4,
    Option.SERVER_ID: 4,
    Option.MAX_SIZE: 2,
    Option.SUBNET_SELECTION: 4,
}
"""Options that decide, and so must have exactly the length of their kind."""
_KINDS: Final = {bytes((kind,)): kind for kind in Kind}

# Plain numbers for what is looked up in every packet: a member of an IntEnum hashes slowly.
_MESSAGE_TYPE, _OVERLOAD, _MAX_SIZE, _RELAY, _PARAMETERS = 53, 52, 57, 82, 55
_DECIDING: Final = tuple((int(code), length) for code, length in _LENGTHS.items())


class Request(NamedTuple):
    """What a client or its relay sent; addresses are dotted, ANY for none.

    It came from UDP *port* of *source* to our port *service*.
    """

    kind: Kind
    xid: int
    mac: str
    secs: int = 0
    broadcast: bool = False
    ciaddr: str = ANY
    giaddr: str = ANY
    port: int = SERVER_PORT
    options: Mapping[int, bytes] = _NONE
    source: str = ANY
    service: int = SERVER_PORT

    def address(self, option: int) -> str | None:
        """Return the address in *option*, or None."""
        value = self.options.get(option)
        return None if value is None else inet_ntoa(value)

    def text(self, option: int) -> str:
        """Return *option* as printable ASCII, other bytes as question marks."""
        return printable(self.options.get(option, b""))

    @property
    def relay_port(self) -> int:
        """Where the relay takes replies: the port that it sent from, if it says so (RFC 8357)."""
        relayed = self.options.get(_RELAY)
        if relayed is None or RELAY_PORT not in suboptions(relayed):
            return SERVER_PORT
        return self.port

    @property
    def limit(self) -> int:
        """How many bytes of DHCP the client takes in one reply."""
        value = self.options.get(_MAX_SIZE)
        return _SMALLEST_LIMIT if value is None else _limit(value)

    def wants(self, option: int) -> bool:
        """Whether the client lists *option* among its parameters, or lists none at all."""
        listed = self.options.get(_PARAMETERS)
        return listed is None or option in listed


class Reply(NamedTuple):
    """What is sent back, and to which address and port.

    *constant* are options that were coded before, and stand first; then come *options*.
    """

    kind: Kind
    xid: int
    mac: str
    to: tuple[str, int]
    secs: int = 0
    broadcast: bool = False
    ciaddr: str = ANY
    yiaddr: str = ANY
    siaddr: str = ANY
    giaddr: str = ANY
    file: str = ""
    options: tuple[tuple[int, bytes], ...] = ()
    limit: int = _SMALLEST_LIMIT
    constant: bytes = b""

    @property
    def told(self) -> dict[int, bytes]:
        """All options of the reply, whether coded before or now."""
        found: dict[int, bytes] = {}
        collect(self.constant, found)
        return found | {int(code): value for code, value in self.options}

    @property
    def boot_file(self) -> str:
        """What the client is told to start, wherever in the packet that stands."""
        return self.file or self.told.get(Option.BOOT_FILE, b"").decode("ascii")


def printable(value: bytes) -> str:
    """Return *value* as printable ASCII, other bytes as question marks."""
    return value.translate(_PRINTABLE).decode("ascii")


def parse(
    raw: bytes, port: int = SERVER_PORT, source: str = ANY, service: int = SERVER_PORT
) -> Request:
    """Return the request that *raw* is, which came from *port* of *source*, or raise Malformed."""
    if len(raw) < _HEAD:
        raise Malformed("shorter than a DHCP message")
    # fmt: off
    (op, htype, hlen, _hops, xid, secs, flags, ciaddr, _yi, _si, giaddr, chaddr,
     sname, file, magic) = _FIXED.unpack_from(raw)
    # fmt: on
    if op != 1 or magic != COOKIE:
        raise Malformed("not a DHCP request")
    if htype != 1 or hlen != 6:
        raise Malformed("not from an Ethernet address")
    options = _options(raw, file, sname)
    kind = _KINDS.get(options.get(_MESSAGE_TYPE, b""))
    if kind is None:
        raise Malformed("no usable message type")
    return Request(
        kind,
        xid,
        chaddr[:6].hex(":"),
        secs,
        flags >= _BROADCAST_FLAG,
        inet_ntoa(ciaddr),
        inet_ntoa(giaddr),
        port,
        options,
        source,
        service,
    )


def build(reply: Reply) -> bytes:
    """Return *reply* as bytes.

    Options stand in the order given.  What goes over the client's limit is moved to the fields of
    boot file and server name where those are free (option 52), or else left out.  The relay's own
    option is always last (RFC 3046 §2.2), and always there.
    """
    variable = b"".join([coded(code, value) for code, value in reply.options])
    file, sname = reply.file.encode("ascii"), b""
    if len(file) > FILE_ROOM:
        file = b""
    area = reply.constant + variable
    if _HEAD + len(area) + 1 > reply.limit:
        area, file, sname = _overloaded(reply, file)
    packet = (
        _FIXED.pack(
            2,
            1,
            6,
            0,
            reply.xid,
            reply.secs,
            _BROADCAST_FLAG if reply.broadcast else 0,
            inet_aton(reply.ciaddr),
            inet_aton(reply.yiaddr),
            inet_aton(reply.siaddr),
            inet_aton(reply.giaddr),
            bytes.fromhex(reply.mac.replace(":", "")),
            sname,
            file,
            COOKIE,
        )
        + area
        + b"\xff"
    )
    return packet if len(packet) >= _SHORTEST_REPLY else packet.ljust(_SHORTEST_REPLY, b"\0")


def _overloaded(reply: Reply, file: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (options, file, sname) with as many options as there is room for (RFC 2131 §4.1)."""
    every = list(pieces(reply.constant)) + [(c, coded(c, v)) for c, v in reply.options]
    relay = b"".join(data for code, data in every if code == _RELAY)
    wanted = [data for code, data in every if code != _RELAY]
    # Options of the fields end with 255, and the field of a boot file that is named is taken.
    rooms = [reply.limit - _HEAD - 1 - len(relay) - 3, 0 if file else 127, 63]
    areas: list[list[bytes]] = [[], [], []]
    for data in wanted:
        at = next((n for n, room in enumerate(rooms) if len(data) <= room), None)
        if at is not None:
            areas[at].append(data)
            rooms[at] -= len(data)
    main, in_file, in_sname = (b"".join(area) for area in areas)
    used = (1 if in_file else 0) | (2 if in_sname else 0)
    if used:
        main += bytes((_OVERLOAD, 1, used))
    ended = (area + b"\xff" if area else b"" for area in (in_file, in_sname))
    in_file, in_sname = ended
    return main + relay, in_file or file, in_sname


def coded(code: int, value: bytes) -> bytes:
    """Return an option as it is sent; over 255 bytes in pieces, which readers join (RFC 3396)."""
    size = len(value)
    if size <= 255:
        return bytes((code, size)) + value
    cut = [value[i : i + 255] for i in range(0, size, 255)]
    return b"".join(bytes((code, len(piece))) + piece for piece in cut)


def pieces(area: bytes) -> Iterable[tuple[int, bytes]]:
    """Yield (code, the option as it stands there), of options that we have coded, with its pad."""
    at = 0
    while at < len(area):
        begun, code = at, area[at]
        while at < len(area) and area[at] == code:
            at += 2 + area[at + 1]
        while at < len(area) and not area[at]:
            at += 1
        yield code, area[begun:at]


@lru_cache(maxsize=256)
def _limit(value: bytes) -> int:
    return max(_SMALLEST_LIMIT, min(int.from_bytes(value, "big") - 28, 1472))


def _options(raw: bytes, file: bytes, sname: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    collect(raw, found, _HEAD)
    if _OVERLOAD in found:
        overload = (found[_OVERLOAD] or b"\0")[0]
        if overload & 1:
            collect(file, found)
        if overload & 2:
            collect(sname, found)
    for code, length in _DECIDING:
        if code in found and len(found[code]) != length:
            raise Malformed(f"option {code} is not {length} bytes long")
    return found


def collect(area: bytes, found: dict[int, bytes], at: int = 0) -> None:
    """Add the options in *area* from *at* to *found*.  Raises Malformed."""
    end, code = len(area), 0
    try:
        while at < end:
            code = area[at]
            if code == 255:
                return
            if code == 0:
                at += 1
                continue
            begun = at + 2
            at = begun + area[at + 1]
            if at > end:
                raise Malformed(f"option {code} is cut off")
            if code in found:
                found[code] += area[begun:at]
            else:
                found[code] = area[begun:at]
    except IndexError:  # a code, and then no length
        raise Malformed(f"option {code} is cut off") from None


def suboptions(value: bytes) -> dict[int, bytes]:
    """Return the parts of a relay's option (RFC 3046 §2.0), up to the first that is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 2 <= len(value) and at + 2 + value[at + 1] <= len(value):
        found[value[at]] = value[at + 2 : at + 2 + value[at + 1]]
        at += 2 + value[at + 1]
    return found
