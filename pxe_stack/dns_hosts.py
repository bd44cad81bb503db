"""Which names a site has now: its plans, and whoever else knows some; kept as a zone."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from socket import inet_aton, inet_ntoa
from typing import Final, Protocol

from pxe_stack import net_store, sqlite
from pxe_stack.dns_zone import Host, Zone
from pxe_stack.lease_store import LEASES
from pxe_stack.leases import State
from pxe_stack.net_store import NetStore
from pxe_stack.store import PLANS

REST_S: Final = 0.25
"""Seconds between two makings of the zone: a name is there within a second of its allocation."""

LONGEST_REST_S: Final = 0.75

_HOSTS: Final = (
    "SELECT json_extract(body, '$.hostname'), address,"
    " json_extract(body, '$.addressing.prefix_length')"
    " FROM plans WHERE body IS NOT NULL AND address IS NOT NULL ORDER BY stored_at DESC, machine"
)


_LEASED: Final = "SELECT address, expires FROM leases WHERE state = ? AND expires > ?"


@dataclass(frozen=True, slots=True)
class Found:
    """What a source knows: hosts, the earlier before the later, and networks that it serves."""

    hosts: Iterable[Host] = ()
    networks: Iterable[IPv4Network] = ()


class Hosts(Protocol):
    """A source of names; *changed* says whether it may say another thing than before."""

    def changed(self) -> bool: ...
    def read(self) -> Found: ...


class PlannedHosts:
    """The hosts and networks of the plans in *folder*, by a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite.Database(folder / PLANS, net_store.SCHEMA)
        self._networks = NetStore(self._db)

    def close(self) -> None:
        self._db.close()

    def changed(self) -> bool:
        return self._db.changed()

    def read(self) -> Found:
        with self._db.reading() as connection:
            rows = connection.execute(_HOSTS).fetchall()
        told = {each.cidr for each in self._networks.networks()}
        hosts = [Host(name, address) for name, address, _ in rows]
        return Found(hosts, told | _networks((address, prefix) for _, address, prefix in rows))


class LeasedHosts:
    """A name for each address that DHCP in *folder* has leased: ip-10-77-0-150 for 10.77.0.150.

    What a client calls itself is no name here: it would be whoever's it likes to be.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._files: dict[Path, sqlite.Database] = {}
        self._next_end = float("inf")

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def changed(self) -> bool:
        """Whether a lease was given or taken back, or one has run out."""
        found = set(self._folder.glob(f"{LEASES}*.db")) - self._files.keys()
        for path in found:
            self._files[path] = sqlite.Database(path, "")
        written = [file.changed() for file in self._files.values()]
        return bool(found) or any(written) or self._clock() >= self._next_end

    def read(self) -> Found:
        now, rows = self._clock(), []
        for _, file in sorted(self._files.items()):
            with file.reading() as connection:
                rows += connection.execute(_LEASED, (State.LEASED, now)).fetchall()
        self._next_end = min((expires for _, expires in rows), default=float("inf"))
        addresses = (inet_ntoa(number.to_bytes(4, "big")) for number, _ in rows)
        return Found([Host(f"ip-{a.replace('.', '-')}", a) for a in addresses])


def _networks(addresses: Iterable[tuple[str, int]]) -> set[IPv4Network]:
    """Return the networks of many addresses; few are made, since making one is slow."""
    bases = {
        (int.from_bytes(inet_aton(address), "big") >> (32 - prefix), prefix)
        for address, prefix in addresses
    }
    return {IPv4Network((base << (32 - prefix), prefix)) for base, prefix in bases}


class Keeper:
    """The zone as it is now; *own* are the site's own names, *sources* are asked in their order."""

    def __init__(
        self,
        domain: str,
        own: Sequence[Host],
        sources: Sequence[Hosts],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._domain = domain
        self._own = own
        self._sources = sources
        self._clock = clock
        self._stale = True
        self._due = float("-inf")
        self._serial = 0
        self._zone = self._of(Found())

    def zone(self, now: float) -> Zone:
        """Return the zone at *now* (monotonic seconds): the same until it says another thing."""
        self._stale = any(source.changed() for source in self._sources) or self._stale
        if self._stale and now >= self._due:
            self._due, begun = now + REST_S, time.perf_counter()
            made = self._made()
            self._stale, taken = False, time.perf_counter() - begun
            # What takes long, with tens of thousands of names, rests longer: queries come first.
            self._due = now + min(LONGEST_REST_S, max(REST_S, 3 * taken))
            if not made.same_as(self._zone):
                self._zone = made
        return self._zone

    def _made(self) -> Zone:
        return self._of(*(source.read() for source in self._sources))

    def _of(self, *found: Found) -> Zone:
        # A serial must grow over a restart too, and nothing of the zone is kept: so it is a time,
        # in units of which no zone lives less than one (RFC 1982 lets it wrap).
        self._serial = max(self._serial + 1, int(self._clock() / REST_S))
        return Zone.of(
            self._domain,
            own=self._own,
            hosts=(host for each in found for host in each.hosts),
            networks=(network for each in found for network in each.networks),
            serial=self._serial & 0xFFFFFFFF,
        )
