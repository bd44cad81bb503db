"""Machines that ask one thing after another, each from its own address: many in one thread.

python -m tests.bench.http_machines FILE   FILE holds [[start_s, source, port, [request, ...]], ...]
Prints the milliseconds of each answer, and how many machines were lost.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

GIVE_UP_S = 30.0


class Machine:
    """One machine: *asks* are what it sends, one connection each."""

    def __init__(self, source: str, port: int, asks: Sequence[str]) -> None:
        self._source = source
        self._port = port
        self._asks = list(asks)
        self._came = bytearray()
        self._began = 0.0
        self.lost = False
        self.taken: list[float] = []
        self.sock = socket.socket()

    def begin(self) -> None:
        """Connect, and send what is asked next."""
        self._began = time.perf_counter()
        self._came.clear()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        self.sock.bind((self._source, 0))
        self.sock.connect(("127.0.0.1", self._port))
        self.sock.send(self._asks.pop(0).encode())
        self.sock.settimeout(0)

    def take(self) -> bool:
        """Take what has come; return whether the answer is whole."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._came += data
        if data:
            return False
        self.sock.close()
        self.taken.append((time.perf_counter() - self._began) * 1000)
        self.lost = not self._came.startswith(b"HTTP/1.1 200")
        return True

    @property
    def goes_on(self) -> bool:
        """Whether there is more to ask."""
        return bool(self._asks) and not self.lost


def run(told: Sequence[tuple[float, str, int, list[str]]]) -> dict[str, object]:
    """Play all machines; return what each answer took, and who was lost."""
    waiting = [(start, Machine(*rest)) for start, *rest in sorted(told)]
    poll, busy = select.epoll(), {}
    lost: list[str] = []
    taken: list[float] = []
    began = time.perf_counter()

    def begin(machine: Machine) -> None:
        machine.begin()
        busy[machine.sock.fileno()] = machine
        poll.register(machine.sock.fileno(), select.EPOLLIN)

    while (waiting or busy) and (now := time.perf_counter() - began) < GIVE_UP_S:
        while waiting and waiting[0][0] <= now:
            begin(waiting.pop(0)[1])
        for descriptor, _ in poll.poll(0.001 if waiting else 0.1):
            machine = busy[descriptor]
            if not machine.take():
                continue
            del busy[descriptor]
            if machine.goes_on:
                begin(machine)
            else:
                taken += machine.taken
                lost += [bytes(machine._came[:60]).decode("latin-1")] if machine.lost else []
    return {"taken": taken, "lost": [*lost, *("no answer" for _ in [*busy, *waiting])]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(Path(sys.argv[1]).read_text(encoding="ascii")))))
