"""A wire that makes iPXE's ROM look like one that is not iPXE, until it has asked for its loader.

QEMU's ROM for BIOS is iPXE, so that a server gives it the script at once.  On its way through here
a DISCOVER or REQUEST loses the two options by which servers know iPXE; once the ROM has asked TFTP
for a file, what runs is the loader, and nothing is changed any more.
"""

import select
import socket
import struct
from contextlib import suppress
from threading import Thread

from deploy.rack import bridge, netns

USER_CLASS, IPXE = 77, 175
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_ALL = 3
_OFFLOADS = 10
"""Bytes before each frame that tell of checksums and segments still to be made (virtio_net_hdr)."""
_LARGEST = _OFFLOADS + 14 + 65535
_DHCP_PORTS = {67, 4011}
_OPTIONS = 240
_PAD, _END = 0, 255


class PlainRom:
    """Carries all frames between the *tap* of one machine and the rack's bridge, until closed."""

    def __init__(self, namespace: str, tap: str) -> None:
        self.plain = True
        near, far = f"{tap}w", f"{tap}x"
        # A port of a bridge that is down: the kernel answers nothing that comes there, we hear it.
        netns.ip(
            *("-n", namespace, "-batch", "-"),
            script=f"link add {tap}h type bridge\n"
            f"link add {near} type veth peer name {far}\n"
            f"link set {far} master {bridge.NAME} up\n"
            f"link set {near} master {tap}h up\n"
            f"link set {tap} master {tap}h\n",
        )
        self._machine = netns.inside(namespace, lambda: _tapped(tap))
        self._net = netns.inside(namespace, lambda: _tapped(near))
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._run, name=f"plain-rom-{tap}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        for sock in (self._woken, self._machine, self._net):
            sock.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._woken, self._machine, self._net], [], [])
            if self._woken in ready:
                return
            if self._machine in ready:
                _send(self._net, self._from_machine(self._machine.recv(_LARGEST)))
            if self._net in ready:
                _send(self._machine, self._net.recv(_LARGEST))

    def _from_machine(self, data: bytes) -> bytes:
        frame = data[_OFFLOADS:]
        if self.plain and asks_for_file(frame):
            self.plain = False
        return data[:_OFFLOADS] + blanked(frame) if self.plain else data


def asks_for_file(frame: bytes) -> bool:
    """Whether the Ethernet *frame* is a read request of TFTP."""
    begin = _udp(frame)
    return bool(begin) and _port(frame, begin) == 69 and frame[begin + 8 : begin + 10] == b"\0\1"


def blanked(frame: bytes) -> bytes:
    """Return *frame* with pads in place of iPXE's options, where it is a request of DHCP."""
    begin = _udp(frame)
    if not begin or _port(frame, begin) not in _DHCP_PORTS:
        return frame
    made = bytearray(frame)
    made[begin + 6 : begin + 8] = b"\0\0"  # UDP over IPv4 may go without a checksum
    at = begin + 8 + _OPTIONS
    while at < len(made) and made[at] != _END:
        length = 1 if made[at] == _PAD else 2 + made[at + 1]
        if made[at] in {USER_CLASS, IPXE}:
            made[at : at + length] = bytes(length)
        at += length
    return bytes(made)


def _udp(frame: bytes) -> int:
    """Return where the UDP header of an IPv4 packet begins, 0 in any other frame."""
    if frame[12:14] != b"\x08\0" or frame[23] != socket.IPPROTO_UDP:
        return 0
    return 14 + 4 * (frame[14] & 15)


def _port(frame: bytes, begin: int) -> int:
    return int(struct.unpack_from("!H", frame, begin + 2)[0])


def _tapped(link: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    sock.bind((link, _ETH_P_ALL))
    return sock


def _send(sock: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the machine is off, or its queue is full: as on any wire
        sock.send(data)
