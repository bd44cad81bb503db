"""Machines that boot: DHCP, a loader over TFTP block by block, then what scripts and seeds ask for.

python -m tests.bench.storm_machines FILE   prints seconds of each boot, and what was lost.

Each machine is a generator that yields the socket it waits for; one thread plays all of one file.
"""

import heapq
import json
import select
import socket
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

SERVER = "127.0.0.1"
AGAIN_S = 2.0
TRIES = 6
BLOCK = 1468

Life = Generator[socket.socket, bool, None]
"""Yields what it waits for; is sent whether that came, or AGAIN_S seconds passed."""


class Lost(Exception):
    """A machine's boot came to nothing."""


def udp(address: str) -> socket.socket:
    """Return a socket that does not block, at *address*."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(0)
    return sock


def life(told: dict[str, Any]) -> Life:
    """Boot one machine.  Raises Lost."""
    yield from _leased(told)
    yield from _loaded(told)
    for ask in told["asks"]:
        yield from _asked(told, ask.encode())


def _leased(told: dict[str, Any]) -> Life:
    with udp(told["address"]) as sock:
        for packet in told["dhcp"]:
            for _ in range(TRIES):
                sock.sendto(bytes.fromhex(packet), (SERVER, told["dhcp_port"]))
                if (yield sock):
                    break
            else:
                raise Lost("no answer by DHCP")
            answer = sock.recv(2048)
            if socket.inet_ntoa(answer[16:20]) != told["address"]:
                raise Lost("another address by DHCP")


def _loaded(told: dict[str, Any]) -> Life:
    """Get the loader: RFC 1350 with RFC 2348's larger blocks, each acknowledged."""
    options = f"blksize\0{BLOCK}\0tsize\x000\0"
    packet = f"\0\1{told['loader']}\0octet\0{options}".encode("ascii")
    to, wanted, came = (SERVER, told["tftp_port"]), 0, 0
    with udp(told["address"]) as sock:
        while True:
            for _ in range(TRIES):
                sock.sendto(packet, to)
                if (yield sock):
                    break
            else:
                raise Lost(f"no answer by TFTP at block {wanted}")
            data, to = sock.recvfrom(2048)
            kind, number = data[1], int.from_bytes(data[2:4], "big")
            if kind == 3 and number == wanted & 0xFFFF:
                came += len(data) - 4
            elif kind != 6:
                raise Lost(f"TFTP: {data[:40]!r}")
            packet = b"\0\4" + wanted.to_bytes(2, "big")
            wanted += 1
            if kind == 3 and len(data) < BLOCK + 4:
                sock.sendto(packet, to)
                break
    if came != told["size"]:
        raise Lost(f"{came} bytes by TFTP")


def _asked(told: dict[str, Any], ask: bytes) -> Life:
    came = bytearray()
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((told["address"], 0))
        sock.connect((SERVER, told["http_port"]))
        sock.sendall(ask)
        sock.settimeout(0)
        while True:
            for _ in range(TRIES):
                if (yield sock):
                    break
            else:
                raise Lost("no answer by HTTP")
            data = sock.recv(65536)
            if not data:
                break
            came += data
    if not came.startswith(b"HTTP/1.1 200"):
        raise Lost(f"HTTP: {bytes(came[:40])!r}")


class Stage:
    """Plays lives until all are over."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._waits: dict[int, Life] = {}
        self._until: list[tuple[float, int, int]] = []
        self._turn: dict[int, int] = {}
        self._count = 0
        self.began: dict[Life, float] = {}
        self.taken: list[float] = []
        self.lost: list[str] = []

    def play(self, started: list[tuple[float, Life]]) -> None:
        """Begin each life at its second, and play to the end."""
        zero = time.monotonic()
        while started or self._waits:
            now = time.monotonic()
            while started and started[0][0] <= now - zero:
                _, one = started.pop(0)
                self.began[one] = now
                self._step(one, first=True)
            for descriptor, _ in self._poll.poll(0.001 if started else 0.05, 256):
                self._go_on(descriptor, came=True)
            while self._until and self._until[0][0] <= now:
                _, turn, descriptor = heapq.heappop(self._until)
                if self._turn.get(descriptor) == turn:
                    self._go_on(descriptor, came=False)

    def _go_on(self, descriptor: int, *, came: bool) -> None:
        one = self._waits.pop(descriptor)
        del self._turn[descriptor]
        self._poll.unregister(descriptor)
        self._step(one, came=came)

    def _step(self, one: Life, *, first: bool = False, came: bool = False) -> None:
        try:
            sock = next(one) if first else one.send(came)
        except StopIteration:
            self.taken.append(time.monotonic() - self.began[one])
        except (Lost, OSError) as exc:
            self.lost.append(str(exc))
        else:
            self._count += 1
            descriptor = sock.fileno()
            self._waits[descriptor] = one
            self._turn[descriptor] = self._count
            self._poll.register(descriptor, select.EPOLLIN)
            heapq.heappush(self._until, (time.monotonic() + AGAIN_S, self._count, descriptor))


def main() -> None:
    """Play the machines of the file that is named."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="ascii"))
    stage = Stage()
    stage.play([(each["start"], life(each)) for each in told])
    sys.stdout.write(json.dumps({"taken": stage.taken, "lost": stage.lost}))


if __name__ == "__main__":
    main()
