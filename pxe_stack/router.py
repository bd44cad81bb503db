"""Answers IPv6 router solicitations with "no router here": lifetime 0, no prefix, no options.

iPXE waits 16 s for a router advertisement on every boot, on networks without IPv6 too.  One that
offers nothing lets it go on at once; it goes to the asker alone, and takes from no host what it has
from others.  Source: RFC 4861 §4.1, §4.2, §6.1.1, §6.2.6.
"""

import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Final

import structlog

log = structlog.get_logger()

SOLICITATION: Final = 133
ADVERTISEMENT: Final = 134
HOPS: Final = 255
"""Neighbour discovery at any other hop limit came through a router, so it is not a neighbour's."""
ALL_NODES: Final = "ff02::1"
ALL_ROUTERS: Final = "ff02::2"
MOST_PER_SECOND: Final = 500
"""A rack that is switched on asks all at once; a flood gets no more than this."""
FLUSH_S: Final = 10.0

# Type, code, checksum (the kernel's work), hop limit, flags, router lifetime, reachable time,
# retransmission timer: a zero leaves each of them to the host.
NO_ROUTER: Final = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)

_ICMP6_FILTER: Final = 1  # <netinet/icmp6.h>; a set bit blocks that type
_HEAD: Final = 8
_HOP_LIMIT: Final = socket.IPV6_HOPLIMIT
_ANCILLARY: Final = socket.CMSG_SPACE(4)


class Told(StrEnum):
    """What became of a solicitation: the label of a counter, so a closed set."""

    ANSWERED = "answered"
    OFF = "off"
    MALFORMED = "malformed"
    LIMITED = "limited"
    UNSENT = "unsent"


def listen(interface: str) -> socket.socket:
    """Return a socket that hears the solicitations on *interface*; wants CAP_NET_RAW.

    Raises OSError where the kernel has no IPv6, or the interface is not there.
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        index = socket.if_nametoindex(interface)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _all_but(SOLICITATION))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOPS)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock


def _all_but(passed: int) -> bytes:
    words = [0xFFFFFFFF] * 8
    words[passed // 32] &= ~(1 << passed % 32)
    return struct.pack("@8I", *words)


def answer_to(message: bytes, source: str, hops: int) -> str | None:
    """Return where the answer to *message* goes, or None for what no neighbour may send.

    A host without an address yet asks from ::, and hears what all nodes hear.
    """
    asker = IPv6Address(source.partition("%")[0])
    if hops != HOPS or len(message) < _HEAD or message[:2] != bytes((SOLICITATION, 0)):
        return None
    if not _has_sound_options(message[_HEAD:]):
        return None
    if asker.is_unspecified:
        return ALL_NODES
    return source if asker.is_link_local else None


def _has_sound_options(options: bytes) -> bool:
    at = 0
    while at < len(options):
        length = options[at + 1] * 8 if at + 1 < len(options) else 0
        if not length or at + length > len(options):
            return False
        at += length
    return True


class Responder:
    """Answers on *sock* while *wanted* says so; *keep* is given the counts since it was last."""

    def __init__(
        self,
        sock: socket.socket,
        wanted: Callable[[], bool],
        keep: Callable[[Counter[str]], None],
    ) -> None:
        self._sock = sock
        self._wanted = wanted
        self._keep = keep
        self._counts: Counter[str] = Counter()
        self._second = 0
        self._of_second = 0

    def run(self, stop: socket.socket) -> None:
        """Answer until *stop* is readable."""
        with selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            selector.register(self._sock, selectors.EVENT_READ)
            flushed = time.monotonic()
            while True:
                ready = {key.fileobj for key, _ in selector.select(FLUSH_S)}
                if stop in ready:
                    break
                if self._sock in ready:
                    self._receive()
                if time.monotonic() - flushed > FLUSH_S:
                    self._flush()
                    flushed = time.monotonic()
        self._flush()

    def _receive(self) -> None:
        try:
            message, ancillary, _, source = self._sock.recvmsg(1500, _ANCILLARY)
            hops = next((_number(data) for _, kind, data in ancillary if kind == _HOP_LIMIT), 0)
            told = self._told(message, source, hops)
        except Exception:  # one packet, whatever it held, does not stop the others
            log.exception("router.failed")
            return
        self._counts[f"router {told.value}"] += 1

    def _told(self, message: bytes, source: tuple[str, int, int, int], hops: int) -> Told:
        to = answer_to(message, source[0], hops)
        if to is None:
            return Told.MALFORMED
        if not self._wanted():
            return Told.OFF
        if self._is_flooded():
            return Told.LIMITED
        try:
            self._sock.sendto(NO_ROUTER, (to, 0, 0, source[3]))
        except OSError as exc:  # no address of the link yet, or the asker has gone
            log.debug("router.unsent", to=to, why=str(exc))
            return Told.UNSENT
        log.debug("router.answered", to=to)
        return Told.ANSWERED

    def _is_flooded(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._of_second = second, 0
        self._of_second += 1
        return self._of_second > MOST_PER_SECOND

    def _flush(self) -> None:
        counts, self._counts = self._counts, Counter()
        if counts:
            self._keep(counts)


def _number(data: bytes) -> int:
    return int(struct.unpack("@i", data[:4])[0])
