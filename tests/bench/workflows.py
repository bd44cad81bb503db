"""200 workflows a second for a minute, posted to a real edge: accepted, and their first step sent.

Bounds: all accepted, every first step granted within 10 s of the last post, and neither the age of
the outbox nor the length of control's queue grows.
"""

import hashlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, quantiles
from uuid import UUID, uuid4

import pika
import requests

from models import database
from models.commands import agents, inventory
from models.database import borrowed
from models.messages import CONTROL_QUEUE, Envelope, Kind
from models.migrations import runner
from models.tables import Interface, Machine
from tests.models import make
from tests.services import postgres, process, rabbitmq

RATE, SECONDS = 200, 60
CLIENTS = 8
LAST_STEP_S = 10.0
FLAT_S = 1.0
TOKEN = secrets.token_hex(16)


@dataclass
class Sample:
    """What stood there at one second."""

    outbox_age_s: float
    queue: int
    accepted: int
    granted: int


@dataclass
class Load:
    """What was posted and how it was answered."""

    machines: list[UUID]
    url: str
    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0

    def run(self) -> None:
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda lane: self._post_lane(lane, began), range(CLIENTS)))

    def _post_lane(self, lane: int, began: float) -> None:
        pause, session = threading.Event(), requests.Session()
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        for number in range(lane, RATE * SECONDS, CLIENTS):
            pause.wait(max(0.0, began + number / RATE - time.perf_counter()))
            asked = time.perf_counter()
            path = f"{self.url}/v1/machines/{self.machines[number]}/power-on"
            answer = session.post(path, json={"reason": "bench"}, timeout=30)
            self.latencies_ms.append((time.perf_counter() - asked) * 1000)
            self.refused += answer.status_code != 202


def measure(folder: Path) -> bool:
    """Print the figures; whether every bound holds."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        rabbit = stack.enter_context(rabbitmq.running(folder / "rabbit"))
        cluster = stack.enter_context(postgres.running())
        database_url = cluster.fresh_database()
        database.configure(database_url, connections=8)
        runner.migrate()
        machines = _fleet(RATE * SECONDS)
        url = stack.enter_context(processes(folder, database_url, rabbit.url))
        load, samples, stop = Load(machines, url), [], threading.Event()
        watching = threading.Thread(target=_watch, args=(rabbit.url, samples, stop))
        watching.start()
        load.run()
        left_s = _all_granted(RATE * SECONDS - load.refused)
        stop.set()
        watching.join()
        database.database.close_all()
    return _told(load, samples, left_s)


def _told(load: Load, samples: list[Sample], left_s: float) -> bool:
    third = len(samples) // 3
    first, last = samples[:third], samples[-third:]
    cuts = quantiles(load.latencies_ms, n=100)
    age = max(sample.outbox_age_s for sample in last)
    queue_first, queue_last = (mean(s.queue for s in part) for part in (first, last))
    flat = age <= FLAT_S and queue_last <= max(20.0, 2 * queue_first)
    good = load.refused == 0 and left_s <= LAST_STEP_S and flat
    sys.stdout.write(
        f"  {len(load.latencies_ms)} posted at {RATE}/s, refused {load.refused}; "
        f"answered p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms\n"
        f"  last first step sent {left_s:.1f} s after the last post (<= {LAST_STEP_S:.0f})\n"
        f"  outbox's oldest in the last third {age:.2f} s (<= {FLAT_S:.0f}); control's queue "
        f"{queue_first:.1f} then {queue_last:.1f} messages  {'ok' if good else 'BROKEN'}\n"
    )
    return good


def _fleet(count: int) -> list[UUID]:
    """Make a site with a live agent and *count* machines."""
    with borrowed():
        site = make.site()
        body = {"hostname": "bench", "capabilities": ["http", "redfish"], "incarnation": "1"}
        agent = uuid4()
        agents.register(Envelope(kind=Kind.REGISTER, site=site, agent=agent, body=body))
        first = make.machine(site, "node-00000", [make.interface("52:54:00:00:00:00")])
        inventory.create_site(make.ADA, name="spare", slug="spare", labels={})
        row = Machine.get_by_id(first)
        now = row.created_at
        ids = [uuid4() for _ in range(count)]
        rows = [
            {
                "id": each,
                "site_id": site,
                "hostname": f"node-{number:05d}x",
                "architecture": "x86_64",
                "bmc": row.bmc,
                "labels": {},
                "created_at": now,
                "updated_at": now,
            }
            for number, each in enumerate(ids)
        ]
        macs = [
            {
                "id": uuid4(),
                "machine_id": each,
                "name": "eth0",
                "mac": "52:55:" + number.to_bytes(4).hex(":"),
                "pxe_enabled": True,
            }
            for number, each in enumerate(ids)
        ]
        for start in range(0, count, 1000):
            _insert(Machine, rows[start : start + 1000])
            _insert(Interface, macs[start : start + 1000])
    _keep_beating(site, agent)
    return ids


def _insert(table: type, rows: list[dict[str, object]]) -> None:
    table.insert_many(rows, fields=[getattr(table, name) for name in rows[0]]).execute()


def _keep_beating(site: UUID, agent: UUID) -> None:
    def beat() -> None:
        pause = threading.Event()
        while True:
            try:
                with borrowed():
                    agents.heartbeat(Envelope(kind=Kind.HEARTBEAT, site=site, agent=agent, body={}))
            except database.Unavailable:
                return
            pause.wait(5)

    threading.Thread(target=beat, daemon=True).start()


@contextmanager
def processes(folder: Path, database_url: str, broker_url: str) -> Iterator[str]:
    """An edge of two workers and two controls; yields the edge's URL."""
    [port] = process.free_ports(1)
    env = os.environ | {
        "SPROUT_DATABASE_URL": database_url,
        "SPROUT_BROKER": broker_url,
        "SPROUT_BIND": f"127.0.0.1:{port}",
        "SPROUT_EDGE_WORKERS": "2",
        "SPROUT_EDGE_THREADS": "8",
        "SPROUT_ADMIN_TOKEN_HASH": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "SPROUT_DATA_DIR": str(folder),
        "SPROUT_LOG_LEVEL": "WARNING",
    }
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        running = [
            process.launch([sys.executable, "-m", module], folder / f"{name}.log", env=env)
            for name, module in (
                ("edge", "edge.serve"),
                ("control-1", "actors.control"),
                ("control-2", "actors.control"),
            )
        ]
        for each in running:
            stack.callback(process.stop, each)
        process.wait_until_ready(
            running[0], lambda: _answers(f"{url}/readyz"), folder / "edge.log", seconds=60
        )
        yield url


def _answers(url: str) -> None:
    try:
        requests.get(url, timeout=2).raise_for_status()
    except requests.RequestException as exc:
        raise ConnectionError(str(exc)) from exc


def _watch(broker_url: str, samples: list[Sample], stop: threading.Event) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        while not stop.wait(1.0):
            depth = channel.queue_declare(CONTROL_QUEUE, passive=True).method.message_count
            samples.append(_sample(depth))


def _sample(depth: int) -> Sample:
    with borrowed():
        [row] = database.database.execute_sql(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0),"
            " (SELECT count(*) FROM workflows), (SELECT count(*) FROM tasks) FROM outbox"
        ).fetchall()
    return Sample(float(row[0]), depth, row[1], row[2])


def _all_granted(wanted: int) -> float:
    """Return the seconds until *wanted* tasks were granted, at most a minute."""
    pause, began = threading.Event(), time.monotonic()
    while time.monotonic() - began < 60:
        if _sample(0).granted >= wanted:
            break
        pause.wait(0.1)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(not measure(Path(sys.argv[1])))
