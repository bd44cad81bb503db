"""A load client of one thread: keep-alive connections that ask in turn, at once or at a pace.

python -m tests.bench.api_load FILE   FILE holds the arguments of `run`
Prints how many were answered by status, and the milliseconds of each.
"""

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any


class Line:
    """One connection."""

    def __init__(self, port: int, source: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._came = bytearray()
        self._due = 0.0

    def ask(self, request: bytes, due: float) -> None:
        """Send *request*, which was *due* at a moment of the monotonic clock."""
        self._due = due
        self.sock.sendall(request)

    def take(self) -> tuple[int, float] | None:
        """Take what has come; return status and milliseconds of an answer that is whole."""
        data = self.sock.recv(262_144)
        if not data:
            raise SystemExit(f"the server has closed: {bytes(self._came[:200])!r}")
        self._came += data
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._came[:end]).lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at : (head + b"\r").index(b"\r", at)])
        if len(self._came) < end + 4 + length:
            return None
        status = int(head[9:12])
        if status >= 400:
            sys.stderr.write(f"{bytes(self._came[:900])!r}\n")
        self._came.clear()
        return status, (time.monotonic() - self._due) * 1000


def run(
    port: int,
    asks: Sequence[str],
    sources: Sequence[str],
    seconds: float,
    rate: float,
    *,
    again: bool,
) -> dict[str, Any]:
    """Load the server for *seconds*; return the statuses, and the milliseconds of each answer.

    *rate* is in requests a second, 0 for as fast as answers come; *again*: each of *asks* is asked
    more than once.
    """
    lines = {line.sock.fileno(): line for line in (Line(port, source) for source in sources)}
    poll, free = select.epoll(), list(lines.values())
    for descriptor in lines:
        poll.register(descriptor, select.EPOLLIN)
    encoded = [ask.encode() for ask in asks]
    requests = cycle(encoded) if again else iter(encoded)
    statuses: Counter[int] = Counter()
    taken: list[float] = []
    began = time.monotonic()
    moments = _moments(began, rate)
    due, request = next(moments), next(requests, None)
    while (now := time.monotonic()) < began + seconds or len(free) < len(lines):
        while request and free and due <= now < began + seconds:
            free.pop().ask(request, due if rate else now)
            due, request = next(moments), next(requests, None)
        if request is None and len(free) == len(lines):
            break
        for descriptor, _ in poll.poll(max(0.0, min(due - now, 0.1)) if free else 0.1):
            if (answer := lines[descriptor].take()) is not None:
                statuses[answer[0]] += 1
                taken.append(answer[1])
                free.append(lines[descriptor])
    return {"statuses": statuses, "seconds": time.monotonic() - began, "taken": taken}


def _moments(began: float, rate: float) -> Iterator[float]:
    number = 0
    while True:
        yield began + number / rate if rate else began
        number += 1


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf8"))
    sys.stdout.write(json.dumps(run(**told)))
