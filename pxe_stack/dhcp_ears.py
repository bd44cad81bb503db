"""Where DHCP hears and speaks: one socket, or each process's share of what comes to all of them.

Several processes cannot share a port by SO_REUSEPORT alone: a relay is one flow, so all that it
sends would come to one of them, and a broadcast comes to each.  So each hears on a raw socket whose
filter (classic BPF) lets through the clients that are its own, by the end of their MAC.
"""

import ctypes
import socket
import struct
from typing import Final

from pxe_stack.leases import Share
from pxe_stack.packets import PROXY_PORT, SERVER_PORT

_UDP_HEADER: Final = 8
_MAC_END: Final = 30
"""Where in a DHCP message the last four bytes of the client's MAC are."""

_LDX_MSH, _LD_H_IND, _LD_W_IND, _MOD_K, _JEQ_K, _RET_K = 0xB1, 0x48, 0x40, 0x94, 0x15, 0x06
_ATTACH_FILTER: Final = 26
_WHOLE: Final = 0xFFFF


class Ear:
    """A bound UDP socket, which serves our port *service*: heard and spoken with."""

    def __init__(self, sock: socket.socket, service: int) -> None:
        self.sock = self.voice = sock
        self.service = service

    def hear(self) -> tuple[bytes, tuple[str, int]]:
        """Return the next packet and whence it came.  Raises OSError, BlockingIOError for none."""
        return self.sock.recvfrom(2048)

    def close(self) -> None:
        self.voice.close()


class SharedEar(Ear):
    """The same, of one process among several: *raw* is what it hears by, and hears its share of."""

    def __init__(self, voice: socket.socket, raw: socket.socket, service: int) -> None:
        super().__init__(voice, service)
        self.sock = raw

    def hear(self) -> tuple[bytes, tuple[str, int]]:
        packet, (source, _) = self.sock.recvfrom(2048)
        begun = 4 * (packet[0] & 15)
        port = int.from_bytes(packet[begun : begun + 2], "big")
        return packet[begun + _UDP_HEADER :], (source, port)

    def close(self) -> None:
        self.sock.close()
        self.voice.close()


def shared(voice: socket.socket, port: int, share: Share, interface: str | None) -> SharedEar:
    """Return the ear of *share* for *port*; *voice* is bound to it, and hears nothing any more.

    Wants CAP_NET_RAW; raises OSError without it.
    """
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    try:
        attach(raw, _share_of(share, port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        if interface is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        attach(voice, [(_RET_K, 0, 0, 0)])
        raw.settimeout(0)
    except OSError:
        raw.close()
        raise
    return SharedEar(voice, raw, PROXY_PORT if port == PROXY_PORT else SERVER_PORT)


def owner(mac: str, count: int) -> int:
    """Return the index of the process, of *count*, that the client with *mac* belongs to."""
    return int(mac.replace(":", "")[4:], 16) % count


def _share_of(share: Share, port: int) -> list[tuple[int, int, int, int]]:
    return [
        (_LDX_MSH, 0, 0, 0),  # the length of the IP header
        (_LD_H_IND, 0, 0, 2),
        (_JEQ_K, 0, 4, port),
        (_LD_W_IND, 0, 0, _UDP_HEADER + _MAC_END),
        (_MOD_K, 0, 0, share.count),
        (_JEQ_K, 0, 1, share.index),
        (_RET_K, 0, 0, _WHOLE),
        (_RET_K, 0, 0, 0),
    ]


def attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Give *sock* a filter; what came before it is thrown away."""
    code = bytearray(b"".join(struct.pack("=HBBI", *step) for step in program))
    held = (ctypes.c_char * len(code)).from_buffer(code)
    sock.setsockopt(
        socket.SOL_SOCKET,
        _ATTACH_FILTER,
        struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(held)),
    )
