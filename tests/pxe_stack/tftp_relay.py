"""A wire that loses, repeats and delays packets, between one TFTP client and a server."""

import random
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Address = tuple[str, int]


@dataclass
class Relay:
    """Shares of packets that are *lost* or *repeated*, and whose neighbours overtake them.

    *seen* counts packets that came (`data`, `ack` and so on), and what was done to them.
    """

    server: Address
    lost: float = 0.0
    repeated: float = 0.0
    late: float = 0.0
    heeds: frozenset[str] = frozenset({"data", "ack", "oack", "error"})
    """Kinds of packets that this happens to."""
    rng: random.Random = field(default_factory=lambda: random.Random(1350))
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._down, self._up = (_bound("127.69.8.1"), _bound("127.69.8.2"))
        self._client: Address | None = None
        self._there: Address = self.server
        self._held: list[tuple[socket.socket, bytes, Address]] = []
        self.address: Address = self._down.getsockname()

    def run(self, stop: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([stop, self._down, self._up], [], [], 0.005)
            if stop in ready:
                break
            if self._down in ready:
                raw, self._client = self._down.recvfrom(70_000)
                if raw[:2] == b"\0\1":
                    self._there = self.server
                self._pass(self._up, raw, self._there)
            if self._up in ready:
                raw, self._there = self._up.recvfrom(70_000)
                assert self._client
                self._pass(self._down, raw, self._client)
            if not ready:
                self._release()
        self._down.close()
        self._up.close()

    def _pass(self, by: socket.socket, raw: bytes, to: Address) -> None:
        kind = _KINDS.get(raw[1], "other")
        self.seen[kind] += 1
        bad = kind in self.heeds
        if bad and self.rng.random() < self.lost:
            self.seen["lost"] += 1
            return
        if bad and self.rng.random() < self.late:
            self.seen["late"] += 1
            self._held.append((by, raw, to))
            return
        by.sendto(raw, to)
        if bad and self.rng.random() < self.repeated:
            self.seen["repeated"] += 1
            by.sendto(raw, to)
        self._release()

    def _release(self) -> None:
        for by, raw, to in self._held:
            by.sendto(raw, to)
        self._held.clear()


_KINDS = {1: "rrq", 3: "data", 4: "ack", 5: "error", 6: "oack"}


def _bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    return sock


@contextmanager
def relaying(relay: Relay) -> Iterator[Relay]:
    """Have *relay* pass packets on for the block."""
    stop, stopper = socket.socketpair()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        yield relay
    finally:
        stopper.send(b"\0")
        thread.join(60)
        stop.close()
        stopper.close()
