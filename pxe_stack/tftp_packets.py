"""TFTP requests read, and OACK and ERROR written, by tftpy: once per transfer, behind a guard.

tftpy's server is not used: one malformed packet ends it.  DATA and ACK are ours (see cuts,
transfer).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketERR, TftpPacketOACK

from pxe_stack.tftp_outcome import Why

LONGEST_REQUEST: Final = 1024
"""Bytes of a request; RFC 2347 allows 512, and some firmware is longer."""

READ: Final = b"\x00\x01"
WRITE: Final = b"\x00\x02"
MODES: Final = frozenset({"octet", "netascii"})


class Code(IntEnum):
    """What an ERROR packet says (RFC 1350 appendix, RFC 2347)."""

    NOT_FOUND = 1
    DENIED = 2
    ILLEGAL = 4
    STRANGER = 5
    OPTIONS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A read request: a name from the wire, its mode, and options by lower-case name."""

    name: str
    mode: str
    options: Mapping[str, str]


class Refused(Exception):
    """A request that is answered with an ERROR packet of *code*; *name* is what it asked for."""

    def __init__(self, code: Code, why: Why, detail: str = "", name: str = "") -> None:
        super().__init__(detail or why.value)
        self.code = code
        self.why = why
        self.detail = detail
        self.name = name[:128]


def read(raw: bytes) -> Asked:
    """Return the read request that *raw* is, or raise Refused: whatever is wrong with it."""
    if len(raw) > LONGEST_REQUEST:
        raise Refused(Code.ILLEGAL, Why.MALFORMED, "the request is too long")
    head, options = _halves(raw)
    asked = _parsed(head + options)
    if raw[:2] == WRITE:
        raise Refused(Code.DENIED, Why.READ_ONLY, name=asked.name)
    if raw[:2] != READ:
        raise Refused(Code.ILLEGAL, Why.MALFORMED, "neither read nor write")
    if asked.mode not in MODES:
        raise Refused(Code.ILLEGAL, Why.BAD_MODE, asked.mode[:80], asked.name)
    return asked


def error_packet(code: Code) -> bytes:
    """Return the ERROR packet of *code*."""
    packet = TftpPacketERR()
    packet.errorcode = code.value
    return bytes(packet.encode().buffer)


def oack_packet(answer: Mapping[str, str]) -> bytes:
    """Return the OACK that answers with *answer*."""
    packet = TftpPacketOACK()
    packet.options = dict(answer)
    return bytes(packet.encode().buffer)


def _halves(raw: bytes) -> tuple[bytes, bytes]:
    """Return name and mode with what is before them, and the options that say something.

    tftpy refuses empty strings; RFC 2090 has an option without value, and some ROMs pad with
    zeros.
    """
    end = raw.find(b"\0", raw.find(b"\0", 2) + 1) + 1
    if not 2 < end < len(raw):
        return raw, b""
    if raw[-1] != 0 or not raw[end:].isascii():
        raise Refused(Code.OPTIONS, Why.BAD_OPTIONS, "options without an end, or not of ASCII")
    words = raw[end:-1].split(b"\0")
    pairs = zip(words[::2], [*words[1::2], b""], strict=False)
    said = [name + b"\0" + value + b"\0" for name, value in pairs if name and value]
    return raw[:end], b"".join(said)


def _parsed(raw: bytes) -> Asked:
    try:
        packet = TftpPacketFactory().parse(raw)
        options = {name.lower(): value for name, value in packet.options.items()}
        return Asked(str(packet.filename), str(packet.mode), options)
    except Exception as exc:  # tftpy raises all kinds, by what a stranger wrote
        raise Refused(Code.ILLEGAL, Why.MALFORMED, f"{exc}"[:200]) from exc
