"""Many TFTP downloads at once, by one process: `python -m tests.bench.tftp_load JSON`.

Reads one line from standard input, begins, and prints what came of it as JSON.  It is the same
for every server, and does no more for each packet than a client must.
"""

import json
import select
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address

PATIENCE_S = 1.0
"""Then a client says again what it said last."""


@dataclass(kw_only=True)
class Order:
    """*clients* at *first* and the addresses after it fetch *name*, of *size* bytes."""

    server: tuple[str, int]
    name: str
    size: int
    clients: int
    first: str
    options: dict[str, str]
    limit_s: float = 60.0
    hold: bool = False
    """Stop after the first block of each, and wait for another line."""


@dataclass(kw_only=True)
class Result:
    """*complete* downloads of the right size between *began* and *ended* (monotonic seconds)."""

    complete: int = 0
    failed: int = 0
    began: float = 0.0
    ended: float = 0.0
    resent: int = 0
    """What clients said again."""
    repeated: int = 0
    """Packets that came again, or out of turn."""
    seconds: list[float] = field(default_factory=list)


class Download:
    """One client: a socket, and where it stands."""

    __slots__ = ("blksize", "block", "got", "heard", "owed", "said", "sock", "window")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.block = self.got = 0
        self.blksize, self.window, self.owed = 512, 1, 1
        self.heard = 0.0
        self.said = b""


class Load:
    """All downloads of an order, in one loop."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.result = Result()
        self.epoll = select.epoll()
        self.buffer = bytearray(65_536)
        self.downloads: dict[int, Download] = {}
        for number in range(order.clients):
            self._open(str(IPv4Address(order.first) + number))

    def _open(self, address: str) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.settimeout(0)
        self.downloads[sock.fileno()] = Download(sock)
        self.epoll.register(sock, select.EPOLLIN)

    def run(self) -> Result:
        request = b"\0\1" + b"".join(
            word.encode() + b"\0"
            for word in (self.order.name, "octet", *sum(self.order.options.items(), ()))
        )
        self.result.began = look_at = time.monotonic()
        for download in self.downloads.values():
            download.heard, download.said = time.monotonic(), request
            download.sock.sendto(request, self.order.server)
        until = self.result.began + self.order.limit_s
        while self.downloads and (now := time.monotonic()) < until:
            for fd, _ in self.epoll.poll(0.1):
                self._receive(self.downloads.get(fd))
            if now >= look_at:
                look_at = now + PATIENCE_S / 4
                self._look_at_clocks(now)
        self.result.ended = max(self.result.seconds, default=0) + self.result.began
        self.result.failed += len(self.downloads)
        return self.result

    def _receive(self, download: Download | None) -> None:
        if download is None:
            return
        try:
            if not download.heard or download.said[:2] == b"\0\1":
                size, there = download.sock.recvfrom_into(self.buffer)
                download.sock.connect(there)
            else:
                size = download.sock.recv_into(self.buffer)
            while not self._take(download, size):
                size = download.sock.recv_into(self.buffer)
        except BlockingIOError:
            return
        except OSError:
            self._end(download, well=False)

    def _take(self, download: Download, size: int) -> bool:
        """Take the packet in the buffer; whether the server has the next word."""
        buffer = self.buffer
        code = buffer[1]
        if code == 3:
            number = buffer[2] << 8 | buffer[3]
            if number != (download.block + 1) & 0xFFFF:
                self.result.repeated += 1
                return True
            download.block += 1
            download.got += size - 4
            download.owed -= 1
            last = size < download.blksize + 4
            if last or not download.owed:
                self._say(download, b"\0\4" + buffer[2:4])
                download.owed = download.window
                if last:
                    self._end(download, well=download.got == self.order.size)
                elif self.order.hold:
                    self._end(download, well=True)
                return True
            return False
        if code == 6 and not download.block:
            self._agree(download, bytes(buffer[2 : size - 1]).split(b"\0"))
            return True
        self._end(download, well=False)
        return True

    def _agree(self, download: Download, words: list[bytes]) -> None:
        told = dict(zip(words[::2], words[1::2], strict=True))
        download.blksize = int(told.get(b"blksize", 512))
        download.window = download.owed = int(told.get(b"windowsize", 1))
        self._say(download, struct.pack("!HH", 4, 0))

    def _say(self, download: Download, what: bytes) -> None:
        download.said = what
        download.heard = time.monotonic()
        download.sock.send(what)

    def _look_at_clocks(self, now: float) -> None:
        for download in list(self.downloads.values()):
            if now - download.heard >= PATIENCE_S:
                download.heard = now
                self.result.resent += 1
                if download.said[:2] == b"\0\1":
                    download.sock.sendto(download.said, self.order.server)
                else:
                    download.sock.send(download.said)

    def _end(self, download: Download, *, well: bool) -> None:
        if self.downloads.pop(download.sock.fileno(), None) is None:
            return
        self.result.complete += well
        self.result.failed += not well
        self.result.seconds.append(time.monotonic() - self.result.began)
        if self.order.hold:
            self.epoll.unregister(download.sock)
            held.append(download.sock)
        else:
            download.sock.close()


held: list[socket.socket] = []


def main() -> None:
    """Do what the first argument says."""
    given = json.loads(sys.argv[1])
    load = Load(Order(**given | {"server": tuple(given["server"])}))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(asdict(load.run())) + "\n")
    sys.stdout.flush()
    if load.order.hold:
        sys.stdin.readline()


if __name__ == "__main__":
    main()
