"""Sockets of the boot plane: made in a network namespace, bound to an interface, told to stop."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

NAMESPACES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_SO_SNDBUFFORCE: Final = 32
_UNRESOLVED_BYTES: Final = 32 * 1024 * 1024
"""The kernel doubles it: enough for 80,000 replies."""
_SIOCSARP: Final = 0x8955
_ATF_COMPLETE: Final = 0x02
_ETHERNET: Final = 1

UDP_SEGMENT: Final = 103
"""Socket option and ancillary data: the kernel cuts what is sent into packets of so many bytes."""
NO_SEGMENTS: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP})
"""How the kernel says that a packet in segments cannot go out by this route."""
_SEGMENTS: Final = 32
"""At once: of the 64 that kernels take, as many of the longest reply as fit into a datagram."""


def enter(netns: str) -> None:
    """Move the calling thread into the network namespace called *netns*, or at that path.

    Raises OSError when it is not there or not ours to enter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with (NAMESPACES / netns).open("rb") as handle:  # an absolute path wins over the folder
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), netns)


def made_in(netns: str | None, make: Callable[[], T]) -> T:
    """Return what *make* makes inside *netns*, by a throw-away thread; None stays where we are.

    A socket made there belongs to the namespace for good and works from any thread.
    """
    if netns is None:
        return make()
    made: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            enter(netns)
            made.append(make())
        except BaseException as exc:  # noqa: BLE001 - carried to the caller's thread
            failed.append(exc)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def udp(address: str, port: int, *, interface: str | None = None) -> socket.socket:
    """Return a bound, non-blocking UDP socket that may broadcast.

    With *interface*, packets come from and go to that interface alone; this wants CAP_NET_RAW.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        _make_room(sock)
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.bind((address, port))
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock


def _make_room(sock: socket.socket) -> None:
    """Let many packets wait for the MAC of an address that nobody may have.

    For three seconds the kernel keeps them, on the socket's account: in less room than is sent in
    that time, whoever invents addresses has nobody answered.  Wants CAP_NET_ADMIN for all of it.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _UNRESOLVED_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNRESOLVED_BYTES)


def tcp(address: str, port: int) -> socket.socket:
    """Return a bound and listening TCP socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    return sock


def send_from(sock: socket.socket, data: bytes, to: tuple[str, int], source: str) -> None:
    """Send *data* with the source address *source*, whichever addresses the interface has."""
    sock.sendmsg([data], _from(source), 0, to)


def send_alike(
    sock: socket.socket, alike: Sequence[bytes], to: tuple[str, int], source: str
) -> None:
    """Send packets of one length to one address; the kernel cuts them, where it can.

    Raises OSError when one of them cannot leave.
    """
    size = len(alike[0])
    for at in range(0, len(alike), _SEGMENTS):
        part = alike[at : at + _SEGMENTS]
        if len(part) > 1:
            try:
                sock.sendmsg(part, _from_cut(source, size), 0, to)
            except OSError as exc:
                if exc.errno not in NO_SEGMENTS:
                    raise
            else:
                continue
        for data in part:
            send_from(sock, data, to, source)


@cache
def _from(source: str) -> list[tuple[int, int, bytes]]:
    info = struct.pack("=I4s4s", 0, socket.inet_aton(source), bytes(4))
    return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]


@lru_cache(maxsize=1024)
def _from_cut(source: str, size: int) -> list[tuple[int, int, bytes]]:
    return [*_from(source), (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]


_IP_PKTINFO: Final = 8


def introduce(sock: socket.socket, address: str, mac: str, interface: str) -> None:
    """Tell the kernel that *address* is at *mac*: the client cannot answer ARP for it yet.

    Wants CAP_NET_ADMIN; raises OSError without it.
    """
    request = struct.pack(
        "=HH4s8xH6s8xi16x16s",
        socket.AF_INET,
        0,
        socket.inet_aton(address),
        _ETHERNET,
        bytes.fromhex(mac.replace(":", "")),
        _ATF_COMPLETE,
        interface.encode(),
    )
    fcntl.ioctl(sock.fileno(), _SIOCSARP, request)


def stop_signal() -> socket.socket:
    """Return a socket that becomes readable at SIGTERM or SIGINT; for the main thread."""
    reader, writer = socket.socketpair()
    reader.settimeout(0)
    writer.settimeout(0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader
