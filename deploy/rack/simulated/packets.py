"""DHCP as clients and relays write and read it (RFC 2131, 2132, 3046, 3396, 4578, 8357).

Not the server's codec: each is held against scapy, and neither against the other.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from socket import inet_aton, inet_ntoa
from typing import Final
from uuid import UUID

from deploy.rack.hardware import Firmware, Hardware

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6

_HEAD: Final = struct.Struct("!BBBBIHHIIII16s64s128sI")
_COOKIE: Final = 0x63825363
_HOPS_AT, _GIADDR_AT = 3, 24
_OWN_PORT: Final = b"\x13\x00"  # sub-option 19, empty: answer where this came from (RFC 8357)
_PXE_ASKS: Final = bytes((1, 3, 6, 12, 13, 15, 28, 43, 54, 60, 66, 67, 97, 128))
_IPXE_ASKS: Final = bytes((1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 175, 203))
_SYSTEM_ASKS: Final = bytes((1, 3, 6, 12, 15, 28))
_IPXE_CAN: Final = bytes.fromhex("b105011af41000 130101 150101 210101 270101")
"""What iPXE says of itself in option 175: its device, and some features."""

ARCHITECTURES: Final[Mapping[Firmware, int]] = {Firmware.BIOS: 0, Firmware.UEFI: 7}
HTTP_ARCHITECTURE: Final = 16


class Malformed(Exception):
    """The bytes are no reply that a client could use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A server's reply: addresses are dotted, *file* is what stands in the fixed field."""

    kind: int
    xid: int
    yiaddr: str
    siaddr: str
    file: str
    options: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def boot_file(self) -> str:
        """What to start: option 67, else the fixed field."""
        return self.options.get(67, b"").rstrip(b"\0").decode("latin-1") or self.file

    @property
    def server(self) -> bytes:
        """Option 54, as it is sent back."""
        return self.options.get(54, b"")


def of_firmware(unit: Hardware) -> dict[int, bytes]:
    """Return the options of a PXE ROM (RFC 4578)."""
    return _netboot(unit, "PXEClient", ARCHITECTURES[unit.firmware]) | {55: _PXE_ASKS}


def of_http_firmware(unit: Hardware) -> dict[int, bytes]:
    """Return the options of UEFI's HTTP boot (UEFI 2.10 §24.7)."""
    return _netboot(unit, "HTTPClient", HTTP_ARCHITECTURE) | {55: _PXE_ASKS}


def of_ipxe(unit: Hardware) -> dict[int, bytes]:
    """Return the options of iPXE, whichever way it was loaded."""
    mine = {55: _IPXE_ASKS, 61: _client(unit), 77: b"iPXE", 175: _IPXE_CAN}
    return _netboot(unit, "PXEClient", ARCHITECTURES[unit.firmware]) | mine


def of_system(unit: Hardware) -> dict[int, bytes]:
    """Return the options of udhcpc, which boots nothing."""
    return {55: _SYSTEM_ASKS, 57: b"\x02\x40", 60: b"udhcp 1.35.0", 61: _client(unit)}


def _netboot(unit: Hardware, vendor: str, architecture: int) -> dict[int, bytes]:
    return {
        57: (1472).to_bytes(2, "big"),
        60: f"{vendor}:Arch:{architecture:05d}:UNDI:003016".encode(),
        93: architecture.to_bytes(2, "big"),
        94: b"\x01\x03\x10",
        97: b"\0" + _swapped(unit.uuid),
    }


def _swapped(uuid: UUID) -> bytes:
    return uuid.bytes_le  # as SMBIOS has it, which is what firmware copies


def _client(unit: Hardware) -> bytes:
    return b"\x01" + bytes.fromhex(unit.mac.replace(":", ""))


def ask(kind: int, mac: str, xid: int, options: Mapping[int, bytes], secs: int = 0) -> bytes:
    """Return what a client broadcasts that has no address yet."""
    head = _HEAD.pack(
        *(1, 1, 6, 0, xid, min(secs, 0xFFFF), 0x8000, 0, 0, 0, 0),
        *(bytes.fromhex(mac.replace(":", "")), b"", b"", _COOKIE),
    )
    coded = b"".join(bytes((code, len(value))) + value for code, value in options.items())
    return head + bytes((53, 1, kind)) + coded + b"\xff"


def relayed(packet: bytes, giaddr: str) -> bytes:
    """Return a client's *packet* as a relay at *giaddr* passes it on, from a port of its own."""
    changed = bytearray(packet)
    changed[_HOPS_AT] += 1
    changed[_GIADDR_AT : _GIADDR_AT + 4] = inet_aton(giaddr)
    end = changed.rindex(b"\xff")
    return bytes(changed[:end]) + bytes((82, len(_OWN_PORT))) + _OWN_PORT + b"\xff"


def read(raw: bytes) -> Told:
    """Return the reply that *raw* is.  Raises Malformed."""
    if len(raw) < _HEAD.size:
        raise Malformed("shorter than a DHCP message")
    op, _, _, _, xid, _, _, _, yiaddr, siaddr, _, _, sname, file, cookie = _HEAD.unpack_from(raw)
    if (op, cookie) != (2, _COOKIE):
        raise Malformed("not a DHCP reply")
    options = _options(raw[_HEAD.size :])
    overload = options.get(52, b"\0")[0]
    for bit, area in ((1, file), (2, sname)):
        if overload & bit:
            options |= _options(area)
    if len(options.get(53, b"")) != 1:
        raise Malformed("no message type")
    return Told(
        kind=options[53][0],
        xid=xid,
        yiaddr=inet_ntoa(yiaddr.to_bytes(4, "big")),
        siaddr=inet_ntoa(siaddr.to_bytes(4, "big")),
        file="" if overload & 1 else file.partition(b"\0")[0].decode("latin-1"),
        options=options,
    )


def _options(area: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(area) and (code := area[at]) != 255:
        if code == 0:
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            raise Malformed(f"option {code} is cut off")
        value = area[at + 2 : at + 2 + area[at + 1]]
        found[code] = found.get(code, b"") + value
        at += 2 + len(value)
    return found
