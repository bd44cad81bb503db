"""Who has which address of the dynamic pool: the rules, in memory, sans I/O (RFC 2131 §4.3).

Addresses are integers, clients are the bytes of client_key, times are seconds since the epoch.
Asking changes nothing; what was decided is told by apply, and lasts once lease_store wrote it.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from typing import Final, NamedTuple

OFFER_S: Final = 60.0
"""How long an offered address is kept for its client; firmware takes 4 s and more to ask for it."""

QUARANTINE_S: Final = 3600.0
"""How long an address rests that somebody uses without our leave."""

MOST_HELD: Final = 16_384
"""Offers kept at once: a flood of strangers costs no more memory than these."""

_STEPS: Final = 256
"""Addresses looked at for one that was never leased, before those that were are taken again."""


class Act(Enum):
    """What a decision does to an address."""

    HOLD = "hold"
    BIND = "bind"
    DECLINE = "decline"
    RELEASE = "release"


class Change(NamedTuple):
    """What is to happen to *address* before its decision is made known; *expires* of BIND alone."""

    act: Act
    client: bytes
    address: int
    expires: float = 0.0


class State(IntEnum):
    """What became of a lease.  Stored: add, never renumber."""

    LEASED = 0
    RELEASED = 1
    DECLINED = 2


_HOLD, _BIND, _RELEASE = Act.HOLD, Act.BIND, Act.RELEASE
_LEASED, _RELEASED, _DECLINED = State.LEASED, State.RELEASED, State.DECLINED
_AFTER: Final = {Act.DECLINE: State.DECLINED, Act.RELEASE: State.RELEASED}


class Lease(NamedTuple):
    """The last use of one address; *expires* is lasting, and its client may count on it."""

    address: int
    client: bytes
    expires: float
    state: State = State.LEASED


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses that may be leased on one network: ranges with both ends, in order, disjoint.

    *network* is its id as a number: it is looked up several times for every packet.
    """

    network: int
    ranges: tuple[tuple[int, int], ...]
    starts: tuple[int, ...] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", tuple(first for first, _ in self.ranges))
        object.__setattr__(self, "size", sum(last - first + 1 for first, last in self.ranges))

    def __contains__(self, address: int) -> bool:
        if len(self.ranges) == 1:
            first, last = self.ranges[0]
            return first <= address <= last
        at = bisect_right(self.starts, address) - 1
        return at >= 0 and address <= self.ranges[at][1]

    def nth(self, number: int) -> int:
        """Return the address that has *number*, counted from 0 and around the end."""
        number %= self.size
        if len(self.ranges) == 1:
            return self.starts[0] + number
        for first, last in self.ranges:
            if number <= last - first:
                return first + number
            number -= last - first + 1
        raise AssertionError  # pragma: no cover - the remainder lies within


@dataclass(frozen=True, slots=True)
class Share:
    """Which of the addresses and clients are one process's: all of them, or each *count*-th."""

    index: int = 0
    count: int = 1

    @property
    def service(self) -> str:
        """What the process is called that has this share."""
        return "dhcp" if self.index == 0 else f"dhcp-{self.index + 1}"

    def __contains__(self, address: int) -> bool:
        return self.count == 1 or address % self.count == self.index


def client_key(mac: str, client_id: bytes | None) -> bytes:
    """Return who a client is: its identifier, else its hardware address (RFC 2131 §4.2).

    An identifier that says the hardware address is the same client as none: a ROM that sends none,
    and the loader after it that sends one, are one machine with one address.
    """
    own = b"\x01" + bytes.fromhex(mac.replace(":", ""))
    return own if not client_id else bytes(client_id)


class Leases:
    """The leases of one process's share of the pools."""

    def __init__(self, share: Share | None = None) -> None:
        self.share = share or Share()
        self._pools: dict[int, Pool] = {}
        self._reserved: frozenset[int] = frozenset()
        self._by_address: dict[int, Lease] = {}
        self._by_client: dict[bytes, int] = {}
        self._offered: OrderedDict[int, tuple[bytes, float]] = OrderedDict()
        self._offer_of: dict[bytes, int] = {}
        self._cursor: dict[int, int] = {}
        self._resting: dict[int, list[tuple[float, int]]] = {}

    def __len__(self) -> int:
        return len(self._by_address)

    def configure(self, pools: Iterable[Pool], reserved: frozenset[int]) -> None:
        """Lease from *pools* from now on, and never an address that is *reserved*."""
        self._pools = {pool.network: pool for pool in pools}
        self._reserved = reserved
        self._note_all()

    def load(self, leases: Iterable[Lease]) -> None:
        """Know *leases*, in the order in which they were made, and none besides."""
        self._by_address.clear()
        self._by_client.clear()
        for lease in leases:
            self._by_address[lease.address] = lease
            self._by_client[lease.client] = lease.address
        self.configure(tuple(self._pools.values()), self._reserved)

    def owns(self, network: int, address: int) -> bool:
        """Whether this process may lease *address*."""
        pool = self._pools.get(network)
        share = self.share
        return pool is not None and address in pool and address % share.count == share.index

    def lease(self, address: int) -> Lease | None:
        """Return the last lease of *address*, which may have run out."""
        return self._by_address.get(address)

    def last_of(self, client: bytes, network: int) -> Lease | None:
        """Return the last lease of *client* if its address is of *network* and still its own."""
        address = self._by_client.get(client)
        lease = None if address is None else self._by_address.get(address)
        if lease is None or lease.client != client or lease.state is _DECLINED:
            return None
        pool = self._pools.get(network)
        return lease if pool is not None and lease.address in pool else None

    def offered_to(self, client: bytes) -> int | None:
        """Return the address that is being kept for *client*."""
        return self._offer_of.get(client)

    def in_use(self, address: int, client: bytes, now: float) -> bool:
        """Whether *address* is leased to another than *client*, or rests."""
        lease = self._by_address.get(address)
        if lease is None or lease.expires <= now or lease.state is _RELEASED:
            return False
        return lease.state is _DECLINED or lease.client != client

    def taken(self, address: int, client: bytes, now: float) -> bool:
        """Whether *address* is another's, or nobody's to have: leased, resting, or reserved."""
        return address in self._reserved or self.in_use(address, client, now)

    def pick(self, network: int, client: bytes, wanted: int | None, now: float) -> int | None:
        """Return the address to offer *client*; None when the pool is used up.

        Its own of before, else what it asks for, else one never leased, else the one that has been
        free for longest, else one that was offered to somebody who did not come for it.
        """
        last = self.last_of(client, network)
        held = self._offer_of.get(client)
        for address in (None if last is None else last.address, held, wanted):
            if address is not None and self._may_have(network, address, client, now):
                return address
        for choose in (self._unused, self._rested, self._forsaken):
            found = choose(network, now)
            if found is not None:
                return found
        return None

    def apply(self, change: Change, now: float) -> Lease | None:
        """Do *change*; return what is to be written before anybody hears of it."""
        act = change.act
        if act is _HOLD:
            self._hold(change.client, change.address, now)
            return None
        if act is _BIND:
            return self._put(Lease(change.address, change.client, change.expires))
        ends = now if act is _RELEASE else now + QUARANTINE_S
        return self._put(Lease(change.address, change.client, ends, _AFTER[act]))

    def _hold(self, client: bytes, address: int, now: float) -> None:
        self._let_go(now)
        before = self._offer_of.get(client)
        if before is not None and before != address:
            del self._offered[before]
        other = self._offered.pop(address, None)
        if other is not None and other[0] != client:
            del self._offer_of[other[0]]
        self._offered[address] = (client, now + OFFER_S)
        self._offer_of[client] = address

    def _put(self, lease: Lease) -> Lease:
        held = self._offered.pop(lease.address, None)
        if held is not None:
            del self._offer_of[held[0]]
        before = self._by_address.get(lease.address)
        if before is not None and self._by_client.get(before.client) == lease.address:
            del self._by_client[before.client]
        self._by_address[lease.address] = lease
        self._by_client[lease.client] = lease.address
        if before is None or lease.expires < before.expires:
            self._note_end(lease)
        return lease

    def _note_end(self, lease: Lease) -> None:
        """Remember when *lease* ends.  A renewal is noticed when it would have ended."""
        network = self._pool_of(lease.address)
        if network is None:
            return
        heap = self._resting[network]
        heappush(heap, (lease.expires, lease.address))
        if len(heap) > 2 * len(self._by_address) + _STEPS:  # who comes and goes at will
            self._note_all()

    def _note_all(self) -> None:
        self._resting = {network: [] for network in self._pools}
        for lease in self._by_address.values():
            network = self._pool_of(lease.address)
            if network is not None:
                self._resting[network].append((lease.expires, lease.address))
        for heap in self._resting.values():
            heapify(heap)

    def _pool_of(self, address: int) -> int | None:
        if address in self.share:
            for network, pool in self._pools.items():
                if address in pool:
                    return network
        return None

    def _may_have(self, network: int, address: int, client: bytes, now: float) -> bool:
        if not self.owns(network, address) or self.taken(address, client, now):
            return False
        offer = self._offered.get(address)
        return offer is None or offer[0] == client or offer[1] <= now

    def _unused(self, network: int, now: float) -> int | None:
        pool = self._pools.get(network)
        if pool is None or pool.size == 0:
            return None
        at = self._cursor.get(network, 0)
        index, count = self.share.index, self.share.count
        for number in range(at, at + min(_STEPS, pool.size)):
            address = pool.nth(number)
            if (
                address % count == index
                and address not in self._by_address
                and address not in self._reserved
                and not self._is_held(address, now)
            ):
                self._cursor[network] = number % pool.size
                return address
        self._cursor[network] = (at + _STEPS) % pool.size
        return None

    def _is_held(self, address: int, now: float) -> bool:
        offer = self._offered.get(address)
        return offer is not None and offer[1] > now

    def _rested(self, network: int, now: float) -> int | None:
        """Return the address whose lease ended first, of those that nobody is offered."""
        heap = self._resting.get(network)
        put_off: list[tuple[float, int]] = []
        found = None
        while heap and heap[0][0] <= now and len(put_off) < _STEPS:
            noted, address = heap[0]
            lease = self._by_address[address]
            if lease.expires > noted:
                heapreplace(heap, (lease.expires, address))  # it was renewed, or rests anew
                continue
            if address not in self._reserved and not self._is_held(address, now):
                found = address
                break
            put_off.append(heappop(heap))
        for entry in put_off:
            heappush(heap or [], entry)
        return found

    def _forsaken(self, network: int, now: float) -> int | None:
        """Return the address that was offered longest ago: who comes first for it has it."""
        for address in islice(self._offered, _STEPS):
            if self.owns(network, address) and not self.taken(address, b"", now):
                return address
        return None

    def _let_go(self, now: float) -> None:
        """Forget offers that have run out, and the oldest where there are too many."""
        while self._offered:
            address, (client, until) = next(iter(self._offered.items()))
            if until > now and len(self._offered) < MOST_HELD:
                return
            del self._offered[address]
            del self._offer_of[client]


def merged(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return *ranges* in order and disjoint; those that touch become one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif first <= last:
            found.append((first, last))
    return tuple(found)
