"""A TFTP server on loopback, in a thread, and clients that say exactly what a test wants."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tftpy.TftpPacketTypes import TftpPacketRRQ

from pxe_stack import tftp_sockets
from pxe_stack.loaders import Loaders
from pxe_stack.tftp import Server
from pxe_stack.tftp_outcome import Outcome
from pxe_stack.tftp_table import Table

SERVER = "127.69.0.1"
FILE = bytes(range(256)) * 4000


def rrq(name="snponly.efi", mode="octet", options=None):
    packet = TftpPacketRRQ()
    packet.filename, packet.mode, packet.options = name, mode, options or {}
    return bytes(packet.encode().buffer)


def ack(number):
    return struct.pack("!HH", 4, number & 0xFFFF)


@dataclass
class Running:
    """A server that runs; *ended* are its outcomes."""

    address: tuple[str, int]
    server: Server
    counts: Counter[str]
    ended: list[Outcome] = field(default_factory=list)

    @property
    def table(self) -> Table:
        return self.server._transfers.table


@contextmanager
def running(folder: Path, table: Table | None = None) -> Iterator[Running]:
    """Serve a folder with snponly.efi and undionly.kpxe for the block."""
    (folder / "snponly.efi").write_bytes(FILE)
    (folder / "undionly.kpxe").write_bytes(b"BIOS\r\n" * 90)
    listener = tftp_sockets.listening(SERVER, 0)
    stop, stopper = socket.socketpair()
    counts, ended = Counter[str](), []
    server = Server(listener, Loaders((folder,)), ended.append, counts, table)
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        yield Running(listener.getsockname(), server, counts, ended)
    finally:
        stopper.send(b"\0")
        thread.join(60)
        server.close()
        stop.close()
        stopper.close()


@contextmanager
def client(address="127.69.1.1") -> Iterator[socket.socket]:
    """A client's socket, at a port of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.settimeout(60)
        yield sock


def asked(sock, server, request=None):
    """Ask *server*, again after a second; return its first answer, and the transfer's address."""
    for _ in range(10):
        sock.settimeout(1)
        sock.sendto(rrq() if request is None else request, server.address)
        with suppress(TimeoutError):
            return sock.recvfrom(70_000)
    raise TimeoutError


def downloaded(sock, server, request=None):
    """Return what a client of the simplest kind gets, in windows if the OACK says so."""
    packet, there = asked(sock, server, request)
    sock.settimeout(60)
    options = {}
    if packet[:2] == b"\0\6":
        words = packet[2:].rstrip(b"\0").split(b"\0")
        options = dict(zip(words[::2], words[1::2], strict=True))
        sock.sendto(ack(0), there)
        packet = sock.recv(70_000)
    blksize, window = int(options.get(b"blksize", 512)), int(options.get(b"windowsize", 1))
    data, block = b"", 0
    while True:
        assert packet[:2] == b"\0\3", packet[:40]
        block += 1
        assert packet[2:4] == struct.pack("!H", block & 0xFFFF)
        data += packet[4:]
        last = len(packet) < blksize + 4
        if last or block % window == 0:
            sock.sendto(ack(block), there)
        if last:
            return data
        packet = sock.recv(70_000)
