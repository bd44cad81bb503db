"""The API's figures: lists of a large fleet at a steady rate, and requests a second beside a peer.

The peer does the same duties (JWT, scope, audit, outbox) on FastAPI and asyncpg, in the same run,
on the same tables and as many cores; rounds are paired, and the median of their ratios counts.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from models import bootplan
from models.bootplan import Access
from tests.bench import api_world
from tests.bench.api_world import Load, Server, World, load
from tests.bench.first_light import say
from tests.bench.http_boots import plan
from tests.bench.http_peers import pin
from tests.pxe_stack import lab, make
from tests.services import process

ROUNDS, ROUND_S = 5, 2.0
SERVERS, OTHERS = {0, 1}, {2, 3}
WORKERS = 2
RATE, LIST_S, P95_MS = 50.0, 20.0, 100.0
MANY, MANY_S = 10_000, 60.0
MOST_POSTS = 12_000
"""More than any round asks for: each machine is switched on once."""

BOOTS = 500


@dataclass(frozen=True)
class Duty:
    """One of what both do: *ours* and *theirs* are asked in turn."""

    name: str
    least: float
    aim: float
    ours: Callable[[int], Sequence[str]]
    theirs: Callable[[int], Sequence[str]]
    sources: Sequence[str] = ("127.0.0.1",) * 16


def measure(folder: Path) -> bool:
    """Print the figures; whether every bound holds."""
    folder.mkdir(parents=True)
    with api_world.world(folder) as world:
        return all([lists(world), beside(world), creates(world)])


def lists(world: World) -> bool:
    """Pages of 100 out of 100,000 at 50 a second, from one edge with 4 workers."""
    names = [f"node-{n * 997 % (api_world.MACHINES - 100):06d}" for n in range(1000)]
    ids = dict(zip((f"node-{n:06d}" for n in range(api_world.MACHINES)), world.ids(), strict=True))
    asks = [
        world.ask("GET", f"/v1/machines?limit=100&cursor={cursor(name, ids[name])}")
        for name in names
    ]
    with api_world.ours(world, 4) as edge:
        load(world, edge, asks, seconds=2.0)
        found = load(world, edge, asks, seconds=LIST_S, rate=RATE)
    good = found.at(95) <= P95_MS and set(found.statuses) == {"200"}
    say(f"api: pages of 100 out of {api_world.MACHINES} machines at {RATE:.0f} a second, 4 workers")
    say(
        f"  p50 {found.at(50):.1f} ms, p95 {found.at(95):.1f} (<= {P95_MS:.0f}), "
        f"p99 {found.at(99):.1f}; {found.cpu_us:.0f} us of CPU each  {mark(good)}"
    )
    return good


def cursor(hostname: str, machine: str) -> str:
    """Return the cursor of the page after this machine, as `next` of the page before has it."""
    from models.lists import MACHINES  # noqa: PLC0415 - of our own lists alone

    row = type("Row", (), {"hostname": hostname, "id": UUID(machine)})
    return MACHINES._cursor("hostname", row)


def beside(world: World) -> bool:
    """Both servers on the same two cores in turn."""
    ids = world.ids()
    with (
        api_world.ours(world, WORKERS) as edge,
        api_world.peer(world, WORKERS) as peer,
        scripts(world) as (boot, asks),
    ):
        for server in (edge, peer, boot):
            server.pin(SERVERS)
        pin(world.postmaster, OTHERS)
        say(f"api: requests a second beside FastAPI and asyncpg, {WORKERS} processes on 2 cores,")
        say(f"  {ROUNDS} paired rounds of {ROUND_S:.0f} s; CPU of the server alone")
        shown = [judged(world, edge, peer, duty) for duty in duties(world, ids)]
        theirs = [their_script(machine) for machine in ids[:BOOTS]]
        booted = Duty("boot script", 0.6, 0.7, lambda _: asks, lambda _: theirs, SOURCES)
        return all([*shown, judged(world, boot, peer, booted)])


def duties(world: World, ids: Sequence[str]) -> Iterator[Duty]:
    """Yield what both are asked over the API."""
    shows = [world.ask("GET", f"/v1/machines/{each}") for each in ids[:5000]]
    yield Duty("GET one", 0.5, 0.7, lambda _: shows, lambda _: shows)
    page = [world.ask("GET", "/v1/machines?limit=100")]
    yield Duty("list 100", 1.0, 1.0, lambda _: page, lambda _: page)

    def posts(number: int) -> Sequence[str]:
        some = ids[number * MOST_POSTS // ROUNDS : (number + 1) * MOST_POSTS // ROUNDS]
        return [world.ask("POST", f"/v1/machines/{each}/power-on", "{}") for each in some]

    yield Duty("POST, audit, outbox", 0.6, 0.9, posts, lambda number: posts(number + ROUNDS))


def judged(world: World, edge: Server, peer: Server, duty: Duty) -> bool:
    """Print one duty's figures; whether its bound holds."""
    how: dict[str, Any] = {"seconds": ROUND_S, "sources": duty.sources}
    pairs: list[tuple[Load, Load]] = [
        (load(world, edge, duty.ours(n), **how), load(world, peer, duty.theirs(n), **how))
        for n in range(ROUNDS)
    ]
    ratio = median(ours.rate / theirs.rate for ours, theirs in pairs)
    spent = median(theirs.cpu_us / ours.cpu_us for ours, theirs in pairs)
    clean = {status[0] for pair in pairs for each in pair for status in each.statuses} == {"2"}
    rates = [median(each.rate for each in side) for side in zip(*pairs, strict=True)]
    cost = [median(each.cpu_us for each in side) for side in zip(*pairs, strict=True)]
    good = ratio >= duty.least and clean
    say(
        f"  {duty.name:20} {rates[0]:6.0f} /s beside {rates[1]:6.0f}, {cost[0]:5.0f} us beside"
        f" {cost[1]:5.0f}: {ratio:.2f} of the rate (>= {duty.least}, aim {duty.aim}), "
        f"{spent:.2f} by CPU  {mark(good)}"
    )
    return good


CALLERS = ("127.0.0.1",) * 8
SOURCES = tuple(f"127.64.{n >> 8}.{n & 255}" for n in range(16))


@contextmanager
def scripts(world: World) -> Iterator[tuple[Server, list[str]]]:
    """A site's boot HTTP, and what its machines ask for."""
    (port,) = process.free_ports(1)
    base = f"http://127.0.0.1:{port}"
    site = lab.Site(
        directory=world.folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=base,
        boot_address="127.0.0.1",
        boot_port=port,
    )
    with lab.serving(site, "http") as boot:
        plans = [plan(number, base) for number in range(BOOTS)]
        for each in plans:
            boot.stores.plans.put(each)
        urls = [bootplan.url(each, make.KEY, Access.SCRIPT, "script") for each in plans]
        asks = [f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: s\r\n\r\n" for url in urls]
        yield Server("sprout", port, boot.processes["http"].pid), asks


def their_script(machine: str) -> str:
    token = hmac.new(make.KEY, UUID(machine).bytes, hashlib.sha256).hexdigest()
    return f"GET /boot/{machine}/{token}/script HTTP/1.1\r\nHost: s\r\n\r\n"


def creates(world: World) -> bool:
    """10,000 machines through the API, by eight callers."""
    with api_world.ours(world, 4) as edge:
        asks = [
            world.ask("POST", "/v1/machines", new(world.site, number)) for number in range(MANY)
        ]
        found = load(world, edge, asks, seconds=MANY_S, sources=CALLERS, again=False)
    good = found.statuses == {"201": MANY} and found.seconds < MANY_S
    say(f"api: {MANY} machines created by {len(CALLERS)} callers at once, 4 workers")
    say(
        f"  {found.seconds:.1f} s (< {MANY_S:.0f}), {found.rate:.0f} /s, "
        f"{found.cpu_us:.0f} us of CPU each  {mark(good)}"
    )
    return good


def mark(good: bool) -> str:
    """Return the word for a bound that holds, or does not."""
    return "ok" if good else "BROKEN"


def new(site: str, number: int) -> str:
    """Return the body of a machine that is not there yet."""
    octets = ":".join(f"{number >> shift & 255:02x}" for shift in (16, 8, 0))
    interface = {"name": "eth0", "macAddress": f"52:aa:aa:{octets}", "pxeEnabled": True}
    bmc = {"address": "https://10.0.0.2", "username": "admin", "secretRef": "env:BMC"}
    machine = {"siteId": site, "hostname": f"new-{number:05d}", "architecture": "x86_64"}
    return json.dumps({**machine, "interfaces": [interface], "bmc": bmc, "memoryMib": 65536})
