"""DHCP replies from their parts: what is constant was coded before, the rest is filled in."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from socket import inet_aton
from typing import Final, NamedTuple

from pxe_stack.dhcp_boot import Boot
from pxe_stack.dhcp_networks import Snapshot
from pxe_stack.dhcp_told import Constants
from pxe_stack.leases import Change
from pxe_stack.packets import (
    ANY,
    BROADCAST,
    FILE_ROOM,
    SERVER_PORT,
    Kind,
    Option,
    Reply,
    Request,
    coded,
)

CLIENT_PORT: Final = 68

_HEAD: Final = struct.Struct("!BBBBB4s")
_TIMES: Final = struct.Struct("!BBIBBIBBI")

# Members of enumerations, by names of this module: to look one up in its class takes as long as
# a call, and these are looked up for every packet.
_ACK: Final = Kind.ACK
_BOOT_FILE: Final = int(Option.BOOT_FILE)
_PAD: Final = b"\0"
"""EDK2 ends the file's name by a zero behind it, in what it then hands to shim and GRUB: where the
next option stands there, they read none of those that follow, and know no network nor router."""
_TFTP_SERVER: Final = int(Option.TFTP_SERVER)
_HOST_NAME: Final = int(Option.HOST_NAME)


class Why(StrEnum):
    """Why a packet got no answer: a row of the timeline and a counter, so a closed set."""

    MALFORMED = "malformed"
    NOT_OURS = "not-ours"
    OTHER_SERVER = "other-server"
    OTHER_AGENT = "other-agent"
    NO_ANSWER_DUE = "no-answer-due"
    ANOTHERS_ADDRESS = "anothers-address"
    DECLINED = "declined"
    RELEASED = "released"
    SWITCHED_OFF = "switched-off"
    NOT_BOOTING = "not-booting"
    NO_RECORD = "no-record"
    EXHAUSTED = "exhausted"
    ADDRESS_IN_USE = "address-in-use"
    WRONG_NETWORK = "wrong-network"
    NOT_LASTING = "not-lasting"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Silence, and the reason for it; *change* is what happens to an address all the same."""

    why: Why
    detail: str = ""
    change: Change | None = None


class Answer(NamedTuple):
    """*reply* is sent when *change* has been made, and lies on the disk if it is one that must."""

    reply: Reply
    change: Change | None = None


class Terms(NamedTuple):
    """What is told with an address, for how many *seconds* (None: none is given)."""

    constants: Constants
    boot: Boot
    address: str = ANY
    seconds: int | None = None
    host_name: str = ""


def granted(kind: Kind, request: Request, snapshot: Snapshot, terms: Terms) -> Reply:
    """Return the OFFER or ACK that tells *request* its *terms*."""
    constants, boot, address, seconds, host_name = terms
    server = snapshot.server
    return Reply(
        kind,
        request.xid,
        request.mac,
        destination(request, address),
        0,
        request.broadcast,
        request.ciaddr if kind is _ACK else ANY,
        address,
        server.tftp if boot.tftp else server.address if boot.file else ANY,
        request.giaddr,
        boot.file if len(boot.file) <= FILE_ROOM else "",
        _own_options(request, host_name),
        request.limit,
        _head(int(kind), server.address)
        + times(seconds)
        + _constant(request, snapshot, constants, boot),
    )


def refused(request: Request, snapshot: Snapshot, why: str) -> Reply:
    """Return the NAK that says *why*, which sends the client back to its beginning."""
    relayed = request.giaddr != ANY
    options = [(int(Option.MESSAGE), why.encode("ascii", "replace")), *_echoed(request)]
    return Reply(
        kind=Kind.NAK,
        xid=request.xid,
        mac=request.mac,
        to=(request.giaddr, request.relay_port) if relayed else (BROADCAST, CLIENT_PORT),
        # The relay is to broadcast it: the client's own address may be wrong (RFC 2131 §4.3.2).
        broadcast=relayed or request.broadcast,
        giaddr=request.giaddr,
        options=tuple(options),
        limit=request.limit,
        constant=_head(int(Kind.NAK), snapshot.server.address),
    )


def destination(request: Request, address: str) -> tuple[str, int]:
    """Return where a reply goes (RFC 2131 §4.1, RFC 8357 §5.2)."""
    if request.giaddr != ANY:
        return request.giaddr, request.relay_port
    if request.ciaddr != ANY:
        return request.ciaddr, CLIENT_PORT
    return (BROADCAST if request.broadcast or address == ANY else address), CLIENT_PORT


def to_boot_client(request: Request) -> tuple[str, int]:
    """Return where an answer on port 4011 goes: whence it was asked (PXE 2.1 §2.2.4)."""
    if request.giaddr != ANY:
        return request.giaddr, SERVER_PORT
    return (request.source if request.ciaddr == ANY else request.ciaddr), request.port


@lru_cache(maxsize=16)
def _head(kind: int, server: str) -> bytes:
    return _HEAD.pack(
        Option.MESSAGE_TYPE, 1, kind, Option.SERVER_ID, 4, inet_aton(server)
    )  # 53 and 54, before all others


@lru_cache(maxsize=4096)
def times(seconds: int | None) -> bytes:
    """Return how long a lease lasts, and when to renew and to rebind it (options 51, 58, 59)."""
    if seconds is None:
        return b""
    return _TIMES.pack(51, 4, seconds, 58, 4, seconds // 2, 59, 4, seconds * 7 // 8)


def _constant(request: Request, snapshot: Snapshot, constants: Constants, boot: Boot) -> bytes:
    """Return what is coded once for each network, boot, and list of parameters."""
    listed = request.options.get(55)
    if boot.own:  # each client its own: only the network's part can be kept
        key: tuple[object, ...] = (constants, listed)
        known = snapshot.remembered(key)
        network = known or snapshot.remember(key, constants.listed(listed))
        return _boot_options(request, boot, snapshot) + network
    key = (constants, boot, listed)
    known = snapshot.remembered(key)
    if known is not None:
        return known
    options = _boot_options(request, boot, snapshot) + constants.listed(listed)
    return snapshot.remember(key, options)


def _boot_options(request: Request, boot: Boot, snapshot: Snapshot) -> bytes:
    if not boot.file:
        return b""
    told = [coded(code, value) for code, value in boot.options]
    if len(boot.file) > FILE_ROOM or request.wants(_BOOT_FILE):
        told.append(coded(_BOOT_FILE, boot.file.encode("ascii")) + (b"" if boot.bios else _PAD))
    if boot.tftp and request.wants(_TFTP_SERVER):
        told.append(coded(_TFTP_SERVER, snapshot.server.tftp.encode("ascii")))
    return b"".join(told)


def _own_options(request: Request, name: str) -> tuple[tuple[int, bytes], ...]:
    if name and request.wants(_HOST_NAME):
        return ((_HOST_NAME, name.encode("ascii", "replace")), *_echoed(request))
    return _echoed(request)


def _echoed(request: Request) -> tuple[tuple[int, bytes], ...]:
    """Give back what the client (RFC 6842, RFC 4578) and its relay (RFC 3046) sent."""
    options = request.options
    if 61 in options or 97 in options or 82 in options:
        return tuple([(code, options[code]) for code in (61, 97, 82) if code in options])
    return ()
