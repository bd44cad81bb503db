"""Wake-on-LAN: the packet that a sleeping network card waits for.

Source: AMD, Magic Packet Technology, publication 20213: six bytes of ones, then the card's address
sixteen times, anywhere in a frame.
"""

import re
import socket
from collections.abc import Collection
from ipaddress import IPv4Network
from typing import Final

from actors.drivers.errors import Refused, Unreachable
from pxe_stack import sockets

PORT: Final = 9
"""Discard: what nobody listens at."""

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def packet(mac: str) -> bytes:
    """Return what wakes the card *mac* (aa:bb:cc:dd:ee:ff).  Raises Refused."""
    if not _MAC.fullmatch(mac):
        raise Refused(f"{mac[:40]!r} is no MAC address")
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


def send(macs: Collection[str], networks: Collection[IPv4Network], netns: str | None) -> int:
    """Send what wakes each of *macs* to all of each network; return how many packets left.

    Raises Unreachable where none could.
    """
    packets = [packet(mac) for mac in macs]
    left, why = 0, "no network is known here yet"
    with sockets.made_in(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for network in networks:
            for each in packets:
                try:
                    line.sendto(each, (str(network.broadcast_address), PORT))
                except OSError as exc:
                    why = f"{network}: {exc.strerror}"
                else:
                    left += 1
    if not left:
        raise Unreachable(f"nothing could be sent to wake the machine: {why}")
    return left
