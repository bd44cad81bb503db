"""Addresses that somebody uses without our leave: found by probes, left to rest, never waited for.

A probe goes out with the OFFER.  A REQUEST that comes before it could have been answered is put
aside, and decided on when the time is over; all other clients are served meanwhile.
"""

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from pxe_stack.dhcp_ears import Ear
from pxe_stack.dhcp_networks import dotted, number_of
from pxe_stack.dhcp_probe import Prober, Probes
from pxe_stack.leases import Act, Change, Lease, Leases

SOMEBODY: Final = b"\x00somebody"
"""Whose an address is said to be that was found in use: no client's identifier."""
MOST_ASIDE: Final = 4096

_HOLD, _BIND = Act.HOLD, Act.BIND


class Packet(NamedTuple):
    """One packet as it was heard."""

    raw: bytes
    origin: tuple[str, int]
    ear: Ear


class Conflicts:
    """What is being asked for, and the packets that wait for that."""

    def __init__(self, leases: Leases, prober: Prober | None, probes: Probes) -> None:
        self._leases = leases
        self._prober = prober
        self._probes = probes
        self._aside: list[tuple[float, int, Packet]] = []
        self._count = 0

    def wait_s(self, now: float, most: float) -> float:
        """Return how long nothing has to be decided anew, at most *most* seconds."""
        return min(most, max(0.0, self._aside[0][0] - now)) if self._aside else most

    def offered(self, change: Change, relay: str, now: float) -> None:
        """Ask whether the address is used that *change* keeps for one who never had it."""
        if self._prober is None or change.act is not _HOLD:
            return
        last = self._leases.lease(change.address)
        if (last is None or last.client != change.client) and self._probes.due(change.address, now):
            self._prober.ask(dotted(change.address), relay)

    def put_aside(self, change: Change | None, packet: Packet, now: float) -> bool:
        """Whether *packet* has to wait before *change* may give an address; it is kept then."""
        if self._prober is None or change is None or change.act is not _BIND:
            return False
        ready = self._probes.ready_at(change.address)
        if ready <= now or len(self._aside) >= MOST_ASIDE:
            return False
        self._count += 1
        heapq.heappush(self._aside, (ready, self._count, packet))
        return True

    def due(self, now: float) -> Iterator[Packet]:
        """Yield the packets that have waited long enough."""
        while self._aside and self._aside[0][0] <= now:
            yield heapq.heappop(self._aside)[2]

    def found(self, now: float) -> list[Lease]:
        """Let the addresses rest that have been answered for; return what is to be written."""
        if self._prober is None:
            return []
        used = []
        for sender in self._prober.heard():
            address = number_of(sender)
            waited = self._probes.ready_at(address) > now
            if waited and not self._leases.in_use(address, b"", now):
                self._probes.answered(address)
                change = Change(Act.DECLINE, SOMEBODY, address)
                lease = self._leases.apply(change, now)
                used += [] if lease is None else [lease]
        return used

    def close(self) -> None:
        if self._prober is not None:
            self._prober.close()
