"""DHCP packets as values: a struct codec, sans I/O (RFC 2131, 2132, 3396).

Reading is strict where a reply depends on it, and forgiving where firmware is known to be careless:
a missing end option, padding after it, and repeated options are all accepted.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from socket import inet_aton, inet_ntoa
from typing import Final

COOKIE: Final = b"\x63\x82\x53\x63"
ANY: Final = "0.0.0.0"  # noqa: S104 - the address of a client that has none yet
BROADCAST: Final = "255.255.255.255"
SERVER_PORT: Final = 67
"""Where servers and relays listen."""
FILE_ROOM: Final = 127
"""Bytes of a boot file name that fit in the fixed field, before its NUL."""

_FIXED: Final = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_SHORTEST_REPLY: Final = 300
"""Bytes that a BOOTP message had; some ROMs and relays drop shorter ones."""
_BROADCAST_FLAG: Final = 0x8000
_SMALLEST_LIMIT: Final = 576 - 28
"""Bytes of DHCP that every client takes: 576 less the IP and UDP headers (RFC 2131 §2)."""


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
    BROADCAST_ADDRESS = 28
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
    IPXE = 175


RELAY_PORT: Final = 19
"""Sub-option of RELAY: the relay does not listen on port 67 (RFC 8357 §5.1); it is empty."""

_LENGTHS: Final[Mapping[int, int]] = {
    Option.MESSAGE_TYPE: 1,
    Option.REQUESTED_ADDRESS: 4,
    Option.SERVER_ID: 4,
    Option.MAX_SIZE: 2,
}
"""Options that decide, and so must have exactly the length of their kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client or its relay sent, from UDP *port*; addresses are dotted, ANY for none."""

    kind: Kind
    xid: int
    mac: str
    secs: int = 0
    broadcast: bool = False
    ciaddr: str = ANY
    giaddr: str = ANY
    port: int = SERVER_PORT
    options: Mapping[int, bytes] = field(default_factory=dict)

    def address(self, option: Option) -> str | None:
        """Return the address in *option*, or None."""
        value = self.options.get(option)
        return None if value is None else inet_ntoa(value)

    def text(self, option: Option) -> str:
        """Return *option* as printable ASCII, other bytes as question marks."""
        value = self.options.get(option, b"")
        return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in value)

    @property
    def relay_port(self) -> int:
        """Where the relay takes replies: the port that it sent from, if it says so (RFC 8357)."""
        said = RELAY_PORT in _suboptions(self.options.get(Option.RELAY, b""))
        return self.port if said else SERVER_PORT

    @property
    def limit(self) -> int:
        """How many bytes of DHCP the client takes in one reply."""
        value = self.options.get(Option.MAX_SIZE)
        asked = 0 if value is None else int.from_bytes(value, "big") - 28
        return max(_SMALLEST_LIMIT, min(asked, 1472))

    def wants(self, option: Option) -> bool:
        """Whether the client lists *option* among its parameters, or lists none at all."""
        listed = self.options.get(Option.PARAMETERS)
        return listed is None or option in listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent back, and to which address and port."""

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

    @property
    def boot_file(self) -> str:
        """What the client is told to start, wherever in the packet that stands."""
        if self.file:
            return self.file
        return dict(self.options).get(Option.BOOT_FILE, b"").decode("ascii")


def parse(raw: bytes, port: int = SERVER_PORT) -> Request:
    """Return the request that *raw* is, which came from UDP *port*, or raise Malformed."""
    if len(raw) < _FIXED.size:
        raise Malformed("shorter than a DHCP message")
    (
        op,
        htype,
        hlen,
        _hops,
        xid,
        secs,
        flags,
        ciaddr,
        _yi,
        _si,
        giaddr,
        chaddr,
        sname,
        file,
        magic,
    ) = _FIXED.unpack_from(raw)
    if (op, magic) != (1, COOKIE):
        raise Malformed("not a DHCP request")
    if (htype, hlen) != (1, 6):
        raise Malformed("not from an Ethernet address")
    options = _options(raw[_FIXED.size :], file, sname)
    return Request(
        kind=_kind(options),
        xid=xid,
        mac=chaddr[:6].hex(":"),
        secs=secs,
        broadcast=bool(flags & _BROADCAST_FLAG),
        ciaddr=inet_ntoa(ciaddr),
        giaddr=inet_ntoa(giaddr),
        port=port,
        options=options,
    )


def build(reply: Reply) -> bytes:
    """Return *reply* as bytes.

    Options stand in the order given; one that would go over the limit is left out.  The relay's
    own option is always last (RFC 3046 §2.2), and always there.
    """
    file = reply.file.encode("ascii")
    fixed = _FIXED.pack(
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
        b"",
        file if len(file) <= FILE_ROOM else b"",
        COOKIE,
    )
    room = reply.limit - len(fixed) - 1
    packet = fixed + b"".join(_fitting(reply.options, room)) + b"\xff"
    return packet.ljust(_SHORTEST_REPLY, b"\0")


def _fitting(options: Iterable[tuple[int, bytes]], room: int) -> Iterator[bytes]:
    coded = [(code, _coded(code, value)) for code, value in options]
    relay = b"".join(data for code, data in coded if code == Option.RELAY)
    room -= len(relay)
    for code, data in coded:
        if code != Option.RELAY and len(data) <= room:
            room -= len(data)
            yield data
    yield relay


def _coded(code: int, value: bytes) -> bytes:
    # Over 255 bytes an option is written in pieces, which readers join (RFC 3396).
    pieces = [value[i : i + 255] for i in range(0, len(value), 255)] or [b""]
    return b"".join(bytes((code, len(piece))) + piece for piece in pieces)


def _options(area: bytes, file: bytes, sname: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    _collect(area, found)
    overload = found.get(Option.OVERLOAD, b"\0")[:1] or b"\0"
    if overload[0] & 1:
        _collect(file, found)
    if overload[0] & 2:
        _collect(sname, found)
    for code, length in _LENGTHS.items():
        if code in found and len(found[code]) != length:
            raise Malformed(f"option {int(code)} is not {length} bytes long")
    return found


def _collect(area: bytes, found: dict[int, bytes]) -> None:
    at, end = 0, len(area)
    while at < end:
        code = area[at]
        if code == 0:
            at += 1
            continue
        if code == 255:
            return
        if at + 2 > end or at + 2 + area[at + 1] > end:
            raise Malformed(f"option {code} is cut off")
        value = area[at + 2 : at + 2 + area[at + 1]]
        found[code] = found[code] + value if code in found else value
        at += 2 + len(value)


def _suboptions(value: bytes) -> frozenset[int]:
    """Return the codes in a relay's option (RFC 3046 §2.0), up to the first that is cut off."""
    codes, at = set(), 0
    while at + 2 <= len(value) and at + 2 + value[at + 1] <= len(value):
        codes.add(value[at])
        at += 2 + value[at + 1]
    return frozenset(codes)


def _kind(options: Mapping[int, bytes]) -> Kind:
    try:
        return Kind(options[Option.MESSAGE_TYPE][0])
    except (KeyError, ValueError) as exc:
        raise Malformed("no usable message type") from exc
