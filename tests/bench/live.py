"""Event to browser: 1,000 live streams on one events process, passed on by one edge.

Twenty events, four a second, each to all streams; from before its transaction to the reading of the
last byte that names it, the reading of all 1,000 sockets by one process included.  Bounds: p99 <=
500 ms for hints, which pages listen to, and for CloudEvents; <= 25 KiB of memory for each stream.
"""

import re
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import psutil

from models import database
from models.commands import moves
from models.migrations import runner
from models.observations import Seen
from models.tables import Machine
from tests.bench.first_light import say
from tests.edge.conftest import TOKEN, Edge, serving, variables
from tests.edge.live import Live, happened, hearing
from tests.models import make
from tests.services import postgres

STREAMS, EVENTS, EVERY_S = 1000, 20, 0.25
P99_MS, EACH_KIB = 500.0, 25.0
NAMED = re.compile(rb'(?:data: |"id": "|"host_id": ")([0-9a-f-]{36})[\n/"]')
PATHS = {"hints": "/events/hints", "CloudEvents": "/v1/events?after=-1"}


DASHBOARDS = 500
"""Pages that are open on one edge, and as many programs that show hosts."""

OF_HOSTS = {"hints to dashboards": "/events/hints", "events of hosts": "/events"}


def dashboards(folder: Path) -> bool:
    """Print the same of what pages and programs that show hosts listen to."""
    return measure(folder, streams=DASHBOARDS, paths=OF_HOSTS)


def measure(folder: Path, *, streams: int = STREAMS, paths: Mapping[str, str] = PATHS) -> bool:
    """Print the figures; whether every bound holds."""
    folder.mkdir()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres.running())
        url = cluster.fresh_database()
        database.configure(url, connections=2)
        runner.migrate()
        settings = variables(url, folder) | {"SPROUT_EVENTS_STREAMS_EACH": str(2 * streams)}
        with database.borrowed():
            machines = _machines()
            good = [
                _figure(name, settings, machines, (path, streams)) for name, path in paths.items()
            ]
        database.database.close_all()
    return all(good)


def _machines() -> list[str]:
    site = make.site()
    nics = (make.interface(f"52:54:00:00:00:{number:02x}") for number in range(EVENTS))
    return [
        str(make.machine(site, f"node-{n}", [nic], server_type="ms-01"))
        for n, nic in enumerate(nics)
    ]


def _figure(
    name: str, settings: Mapping[str, str], machines: list[str], wanted: tuple[str, int]
) -> bool:
    # Processes of its own: memory that streams before them left would be theirs too.
    folder = Path(settings["HOME"])
    with hearing(settings, folder) as live, serving(settings, folder) as edge:
        return _told(name, live, machines, lambda: Callers(edge, *wanted))


def _told(name: str, live: Live, machines: list[str], opened: Callable[[], "Callers"]) -> bool:
    process = psutil.Process(live.started.pid)
    before, began = process.memory_full_info().pss, time.perf_counter()
    callers = opened()
    opened_s, number = time.perf_counter() - began, len(callers)
    live.wait_for(lambda: live.figures["open"] == number)
    each_kib = (process.memory_full_info().pss - before) / number / 1024
    busy_s = sum(process.cpu_times()[:2])
    delays = callers.hear(machines)
    busy_ms = (sum(process.cpu_times()[:2]) - busy_s) / EVENTS * 1000
    callers.close()
    live.wait_for(lambda: live.figures["open"] == 0)
    p50, p99 = (quantiles(delays, n=100)[n] * 1000 for n in (49, 98))
    good = len(delays) == number * EVENTS and p99 <= P99_MS and each_kib <= EACH_KIB
    say(
        f"live streams, {name}: {number} opened in {opened_s:.1f} s; event to browser p50"
        f" {p50:.0f} ms, p99 {p99:.0f} ms (<= {P99_MS:.0f}); {len(delays)} of {number * EVENTS}"
        f" told; {each_kib:.1f} KiB each (<= {EACH_KIB:.0f}); {busy_ms:.0f} ms of CPU an event"
        f"  {'ok' if good else 'BROKEN'}"
    )
    return good


class Callers:
    """Connections that listen, all read by one thread."""

    def __init__(self, edge: Edge, path: str, number: int) -> None:
        self._selector, self._number = selectors.DefaultSelector(), number
        for _ in range(number):
            self._selector.register(_asked(edge, path), selectors.EVENT_READ, bytearray())

    def __len__(self) -> int:
        return self._number

    def hear(self, machines: list[str]) -> list[float]:
        """Return the seconds from each of *machines*' events to each caller's hearing of it."""
        told_at: dict[str, float] = {}
        teller = threading.Thread(target=_tell, args=(machines, told_at))
        teller.start()
        delays: list[float] = []
        until = time.monotonic() + EVENTS * EVERY_S + 10
        while len(delays) < self._number * len(machines) and time.monotonic() < until:
            for key, _ in self._selector.select(0.5):
                named = _heard(key.fileobj, key.data)
                delays += [time.perf_counter() - told_at[machine] for machine in named]
        teller.join()
        return delays

    def close(self) -> None:
        """Hang up."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr] # a socket
        self._selector.close()


def _tell(machines: list[str], told_at: dict[str, float]) -> None:
    """Have something happen to each of *machines* in turn."""
    pause = threading.Event()
    with database.borrowed():
        for machine in machines:
            told_at[machine] = time.perf_counter()
            with database.database.atomic():
                moves.noted(Machine.get_by_id(machine), Seen.BMC_CALL, {"verb": "power"})
                happened(machine)
            pause.wait(EVERY_S)


def _asked(edge: Edge, path: str) -> socket.socket:
    """Return a connection whose stream has begun."""
    where = urlsplit(edge.url)
    line = socket.create_connection((where.hostname, where.port))
    head = (f"GET {path} HTTP/1.1", f"Host: {where.netloc}", f"Authorization: Bearer {TOKEN}")
    line.sendall("\r\n".join([*head, "Accept: text/event-stream", "", ""]).encode())
    heard = b""
    while b"\nid: " not in heard:
        heard += line.recv(4096)
    line.setblocking(False)
    return line


def _heard(line: socket.socket, unread: bytearray) -> list[str]:
    """Return the machines that are named in what has come on *line*."""
    unread += line.recv(65536)
    whole = unread.rfind(b"\n\n") + 2
    found = [name.decode() for name in NAMED.findall(bytes(unread[:whole]))]
    del unread[:whole]
    return found
