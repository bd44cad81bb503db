"""A closed loop of DHCP clients behind a relay: as many as are wanted wait for an answer at once.

python -m tests.bench.dhcp_client SERVER RELAY WIDTH SECONDS CLIENTS FIRST: prints JSON.  It is
given cores of its own.  *twice* counts clients whose address was another's, *moved* those who got
another address than before.
"""

import json
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Final

_OPTIONS: Final = bytes.fromhex(
    "3c20505845436c69656e743a417263683a30303030373a554e44493a303033303136"  # class, as EDK2 has it
    "5d0200075e03010310390205c0"  # x64, UNDI 3.16, 1472 bytes
    "370e0103060c0d0f1c2b363c42436180"
)
LOST_S: Final = 1.0
"""After this long a client that was not answered counts as lost, and the next takes its turn."""


_BEFORE: Final = bytes((1, 1, 6, 1))
_BETWEEN: Final = bytes(16)
_KINDS: Final = [bytes(202) + b"\x63\x82\x53\x63" + bytes((53, 1, kind)) for kind in range(9)]
_END: Final = _OPTIONS + b"\xff"


def packet(kind: int, number: int, relay: bytes, extra: bytes = b"") -> bytes:
    who = number.to_bytes(4, "big")
    parts = (_BEFORE, who, _BETWEEN, relay, b"\x02\x00", who, _KINDS[kind], extra, _END)
    return b"".join(parts)


def _server_id(raw: bytes) -> bytes:
    at = raw.index(b"\x36\x04", 240)
    return raw[at : at + 6]


class Load:
    """Clients numbered from *first*, *clients* of them, who come again and again."""

    def __init__(
        self, server: str, relay: str, clients: int, first: int = 0, *, lost_s: float = LOST_S
    ) -> None:
        self._lost_s = lost_s
        self._giaddr = socket.inet_aton(relay)
        self._clients = clients
        self._first = self._next = first
        self._waiting: dict[int, tuple[float, int]] = {}
        self._took: list[float] = []
        self._held: dict[bytes, int] = {}
        self._own: dict[int, bytes] = {}
        self.counts = dict.fromkeys(("lost", "refused", "twice", "moved"), 0)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._sock.bind((relay, 67))
        self._sock.connect((server, 67))
        self._sock.settimeout(0)

    def close(self) -> None:
        self._sock.close()

    def run(self, width: int, seconds: float) -> dict[str, float]:
        """Keep *width* clients waiting for *seconds*; return the figures."""
        begun = looked = time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            with suppress(ConnectionRefusedError, BlockingIOError):
                while len(self._waiting) < width:
                    self._start(now)
            if not self._drain():
                select.select([self._sock], [], [], 0.05)
            if now - looked > 0.05:
                looked = now
                self._give_up(now)
        return self._figures(seconds)

    def settle(self) -> dict[str, float]:
        """Start nothing more, and return the figures once all are answered or lost."""
        begun = time.perf_counter()
        while self._waiting:
            if not self._drain():
                select.select([self._sock], [], [], 0.05)
            self._give_up(time.perf_counter())
        return self._figures(time.perf_counter() - begun)

    def _figures(self, seconds: float) -> dict[str, float]:
        took = sorted(self._took) or [0.0]
        return {
            "rate": len(self._took) / seconds,
            "done": len(self._took),
            "p50": took[len(took) // 2],
            "p99": took[len(took) * 99 // 100],
            "addresses": len(self._held),
            **self.counts,
        }

    def _drain(self) -> bool:
        """Take what has come; whether there was anything."""
        heard, recv, hear = 0, self._sock.recv, self._hear
        with suppress(ConnectionRefusedError, BlockingIOError):  # a server of ours died; no more
            while heard < 128:
                hear(recv(2048))
                heard += 1
        return heard > 0

    def _start(self, now: float) -> None:
        number = self._next
        self._next = self._first + (number + 1 - self._first) % self._clients
        self._waiting[number] = (now, 2)
        self._sock.send(packet(1, number, self._giaddr))

    def _hear(self, raw: bytes) -> None:
        number, kind = int.from_bytes(raw[4:8], "big"), raw[242]  # every server sends 53 first
        begun, awaited = self._waiting.get(number, (0.0, 0))
        if awaited == 0 or kind not in (awaited, 6):
            return
        if kind == 2:
            self._waiting[number] = (begun, 5)
            extra = _server_id(raw) + b"\x32\x04" + raw[16:20]
            self._sock.send(packet(3, number, self._giaddr, extra))
            return
        del self._waiting[number]
        if kind == 6:
            self.counts["refused"] += 1
            return
        self._took.append((time.perf_counter() - begun) * 1000)
        self.counts["twice"] += self._held.setdefault(raw[16:20], number) != number
        self.counts["moved"] += self._own.setdefault(number, raw[16:20]) != raw[16:20]

    def _give_up(self, now: float) -> None:
        for number in [n for n, (begun, _) in self._waiting.items() if now - begun > self._lost_s]:
            del self._waiting[number]
            self.counts["lost"] += 1


if __name__ == "__main__":
    server, relay, width, seconds, clients, first = sys.argv[1:]
    load = Load(server, relay, int(clients), int(first))
    sys.stdout.write(json.dumps(load.run(int(width), float(seconds))))
