"""Whether somebody uses an address already: asked on the wire while the client is offered it.

Nobody waits for it but the client itself, and only when its REQUEST comes sooner than an answer
could (RFC 2131 §2.2, RFC 5227 §2.1.1).  On our own wire it is an ARP probe, which every host must
answer; behind a relay it is an ICMP echo, which most do.
"""

import socket
import struct
from collections import OrderedDict
from typing import Final

from pxe_stack.packets import ANY

WAIT_S: Final = 0.1
"""How long an answer may take: hosts on a wire take a millisecond, sleepy ones fifty."""
FRESH_S: Final = 600.0
"""How long it is believed that nobody uses an address which did not answer."""
MOST: Final = 16_384

_ARP: Final = 0x0806
_BROADCAST: Final = b"\xff" * 6
_PROBE: Final = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_ECHO: Final = struct.Struct("!BBHHH")


class Probes:
    """Which addresses were asked for and when, by address as an integer; sans I/O."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._asked: OrderedDict[int, float] = OrderedDict()

    def due(self, address: int, now: float) -> bool:
        """Whether *address* is to be asked for before it is given; it counts as asked then."""
        asked = self._asked.get(address)
        if self._wait_s <= 0 or (asked is not None and now - asked < FRESH_S):
            return False
        self._asked.pop(address, None)
        self._asked[address] = now
        if len(self._asked) > MOST:
            self._asked.popitem(last=False)
        return True

    def ready_at(self, address: int) -> float:
        """Return when *address* may be given, if nobody has answered for it by then."""
        asked = self._asked.get(address)
        return 0.0 if asked is None else asked + self._wait_s

    def answered(self, address: int) -> bool:
        """Whether *address* was asked for; it is asked for anew the next time."""
        return self._asked.pop(address, None) is not None


class Prober:
    """The sockets of it, on *interface*.  Raises OSError where raw sockets are not to be had."""

    def __init__(self, interface: str) -> None:
        self.arp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
        try:
            self.arp.bind((interface, _ARP))
            self.arp.settimeout(0)
            self.icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            self.icmp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            self.icmp.settimeout(0)
        except OSError:
            self.close()
            raise
        self._mac: bytes = self.arp.getsockname()[4]

    def close(self) -> None:
        self.arp.close()
        if hasattr(self, "icmp"):
            self.icmp.close()

    def ask(self, address: str, relay: str) -> None:
        """Ask who has *address*, through the network of *relay* if the client is behind one."""
        try:
            if relay == ANY:
                self.arp.send(probe(self._mac, address))
            else:
                self.icmp.sendto(echo(), (address, 0))
        except OSError:  # no route, no carrier: then nobody can answer either
            return

    def heard(self) -> set[str]:
        """Return the addresses that have been answered for since this was asked last."""
        found = set()
        for sock, read in ((self.arp, arp_sender), (self.icmp, echo_sender)):
            for _ in range(256):
                try:
                    sender = read(sock.recv(256))
                except OSError:
                    break
                if sender is not None:
                    found.add(sender)
        return found


def probe(mac: bytes, address: str) -> bytes:
    """Return the ARP probe for *address*: from no address, so that nobody's cache is changed."""
    wanted = socket.inet_aton(address)
    return _PROBE.pack(
        *(_BROADCAST, mac, _ARP, 1, 0x0800, 6, 4, 1), *(mac, bytes(4), bytes(6), wanted)
    )


def arp_sender(frame: bytes) -> str | None:
    """Return whose address the ARP *frame* says that it has; probes say none."""
    if len(frame) < _PROBE.size:
        return None
    *_, sender, _, _ = _PROBE.unpack_from(frame)
    said = socket.inet_ntoa(sender)
    return None if said == ANY else said


def echo() -> bytes:
    """Return an ICMP echo request (RFC 792)."""
    head = _ECHO.pack(8, 0, 0, 0x5350, 1)
    total = sum(struct.unpack("!4H", head))
    total = (total >> 16) + (total & 0xFFFF)
    return _ECHO.pack(8, 0, ~total & 0xFFFF, 0x5350, 1)


def echo_sender(packet: bytes) -> str | None:
    """Return who sent the IP *packet*, if it is an echo reply."""
    begun = 4 * (packet[0] & 15) if packet else 0
    if len(packet) < begun + _ECHO.size or begun < 20 or packet[begun] != 0:
        return None
    return socket.inet_ntoa(packet[12:16])
