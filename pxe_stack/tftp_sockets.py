"""Sockets of TFTP: the one that is asked, and one for each transfer."""

import socket
import struct
from typing import Final

from pxe_stack.sockets import UDP_SEGMENT

PEER_BYTES: Final = 128
"""What is read of a client's packet: an ACK has 4 bytes, and an ERROR's text is cut."""
BACKLOG_BYTES: Final = 4 * 1024 * 1024

_SO_RCVBUFFORCE: Final = 33
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_PKTINFO: Final = struct.Struct("=I4s4s")
ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_PKTINFO.size)

_SEGMENTS: Final = 64
"""UDP_MAX_SEGMENTS of every kernel that has them."""
_LARGEST_DATAGRAM: Final = 65_507


def listening(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a non-blocking UDP socket that tells which address of ours was asked.

    With *shared*, several processes may have one each, and the kernel gives each client to one.
    Raises OSError when the address is not to be had.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _widen(sock)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((address, port))
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock


def _widen(sock: socket.socket) -> None:
    """Let a thousand requests wait that come at once; beyond the system's limit, if we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BACKLOG_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BACKLOG_BYTES)


def asked_at(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    """Return the address of ours that a packet was sent to; None for a broadcast."""
    for level, kind, info in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, sent_to = _PKTINFO.unpack_from(info)
            return socket.inet_ntoa(local) if local == sent_to else None
    return None


def answer(sock: socket.socket, data: bytes, to: tuple[str, int], source: str) -> None:
    """Send *data* from the listening socket, with the address *source* that was asked."""
    info = _PKTINFO.pack(0, socket.inet_aton(source), bytes(4))
    sock.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, to)


def connected(source: str, peer: tuple[str, int]) -> socket.socket:
    """Return a non-blocking UDP socket between *source*, at a port of its own, and *peer*.

    Raises OSError when there is no route, or *peer* is a broadcast address.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # Where the way is narrower than Ethernet, routers cut the packets.
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        sock.bind((source, 0))
        sock.connect(peer)
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock


def segmented(sock: socket.socket, stride: int) -> int:
    """Have the kernel cut what is sent into packets of *stride* bytes; return how many at once.

    1 where the kernel cannot (Linux before 4.18): then each is sent by itself.
    """
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, stride)
    except OSError:
        return 1
    return min(_SEGMENTS, _LARGEST_DATAGRAM // stride)


def unsegmented(sock: socket.socket) -> None:
    """Have each packet sent by itself again."""
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
