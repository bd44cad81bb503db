"""Answers router solicitations with "no router here": lifetime 0, no prefix.

iPXE waits 16 s for a router advertisement on every boot, on networks without IPv6 too.  One
that offers nothing lets it go on at once and changes nothing else.  Source: RFC 4861 §4.1, §4.2.
"""

import logging
import select
import socket
import struct
from threading import Thread
from typing import Final

from deploy.rack import netns

log = logging.getLogger(__name__)

_SOLICITATION: Final = 133
_ADVERTISEMENT: Final = 134
_ICMP6_FILTER: Final = 1  # <netinet/icmp6.h>; a set bit blocks that type
_ALL_NODES: Final = "ff02::1"
_ALL_ROUTERS: Final = "ff02::2"

# Type, code, checksum (the kernel's work), hop limit, flags, router lifetime, reachable time,
# retransmission timer: a zero leaves each of them to the host.
NO_ROUTER: Final = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)


class Advertiser:
    """A thread that answers on one link of one namespace until closed."""

    def __init__(self, namespace: str, link: str) -> None:
        """Raise OSError where the kernel has no IPv6."""
        self._socket = netns.inside(namespace, lambda: _open(link))
        self._link = link
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._answer, name="advertiser", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._socket.close()

    def _answer(self) -> None:
        while self._woken not in select.select([self._socket, self._woken], [], [])[0]:
            _, peer = self._socket.recvfrom(1500)
            try:
                self._socket.sendto(NO_ROUTER, (_ALL_NODES, 0))
            except OSError as exc:
                log.warning("advertiser.failed", extra={"peer": peer[0], "why": str(exc)})
            else:
                log.debug("advertiser.answered", extra={"peer": peer[0]})


def _open(link: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(link)
    group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("@I", index)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _all_but(_SOLICITATION))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    # Neighbour discovery is refused by hosts at any other hop limit.
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sock


def _all_but(passed: int) -> bytes:
    words = [0xFFFFFFFF] * 8
    words[passed // 32] &= ~(1 << passed % 32)
    return struct.pack("@8I", *words)
