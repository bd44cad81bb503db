"""A load client of one thread: many connections at once, whose bytes the kernel throws away.

python -m tests.bench.http_client PORT KIND CONNECTIONS SECONDS [SIZE]   prints requests and bytes
"""

import json
import select
import socket
import sys
import time

PIECE = 1024 * 1024
PATH = "/artifacts/os/disk.raw"


class Download:
    """One connection that asks again and again; *ranged*: for a piece at a time."""

    def __init__(self, port: int, size: int, number: int, *, ranged: bool) -> None:
        source = f"127.66.{number >> 4}.1"  # as from many machines: each has but some places
        self.sock = socket.create_connection(("127.0.0.1", port), None, (source, 0))
        self.sock.settimeout(0)
        self._size, self._ranged, self._at = size, ranged, 0
        self.left = 0
        self.requests = 0
        self.ask()

    def ask(self) -> None:
        fields = f"GET {PATH} HTTP/1.1\r\nHost: s\r\n"
        if self._ranged:
            fields += f"Range: bytes={self._at}-{self._at + PIECE - 1}\r\n"
            self._at = (self._at + PIECE) % self._size
        self.sock.send(f"{fields}\r\n".encode())

    def take(self, buffer: bytearray) -> int:
        """Take what has come; return how much of it was content."""
        if not self.left:
            return self._head()
        try:
            taken = self.sock.recv_into(buffer, min(self.left, len(buffer)), socket.MSG_TRUNC)
        except BlockingIOError:
            return 0
        if not taken:
            raise SystemExit("the server has closed")
        self._count(taken)
        return taken

    def _head(self) -> int:
        try:
            seen = self.sock.recv(2048, socket.MSG_PEEK)
        except BlockingIOError:
            return 0
        head, end, _ = seen.partition(b"\r\n\r\n")
        if not end or not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
            raise SystemExit(f"not served: {seen[:80]!r}")
        self.sock.recv(len(head) + 4)
        lines = head.decode("latin-1").lower().split("\r\n")
        self.left = next(int(each[15:]) for each in lines if each.startswith("content-length:"))
        return 0

    def _count(self, taken: int) -> None:
        self.left -= taken
        if not self.left:
            self.requests += 1
            self.ask()


def run(port: int, kind: str, connections: int, seconds: float, size: int) -> dict[str, float]:
    """Load the server for *seconds*; return requests, bytes and seconds."""
    lines = {}
    poll = select.epoll()
    for number in range(connections):
        line = Download(port, size, number, ranged=kind == "ranges")
        lines[line.sock.fileno()] = line
        poll.register(line.sock.fileno(), select.EPOLLIN)
    buffer = bytearray(4 * PIECE)
    began = time.monotonic()
    total = 0
    while (now := time.monotonic()) - began < seconds:
        for descriptor, _ in poll.poll(0.1):
            total += lines[descriptor].take(buffer)
    requests = sum(line.requests for line in lines.values())
    return {"requests": requests, "bytes": total, "seconds": now - began}


if __name__ == "__main__":
    asked = sys.argv[1:]
    given = run(int(asked[0]), asked[1], int(asked[2]), float(asked[3]), int(asked[4]))
    sys.stdout.write(json.dumps(given))
