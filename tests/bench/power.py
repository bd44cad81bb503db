"""100 power verbs at once against 100 emulated BMCs, through the whole product, beside plain sushy.

Each verb goes from POST /v1/machines/…/power-on over PostgreSQL, RabbitMQ, control and the site's
agent to its BMC, and ends when the workflow has succeeded, which is when the BMC was read back.
Bounds: none lost, none done twice, all machines on, as their BMCs say to whoever asks them.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psutil
import requests

from deploy.rack.simulated import writes
from models import database, queries
from models.commands import agents
from models.database import borrowed
from models.migrations import runner
from models.tables import Workflow
from tests.actors.site_whole import Site
from tests.bench.workflows import TOKEN, processes
from tests.models import make
from tests.services import postgres, process, rabbitmq

MACHINES, ROUNDS = 100, 3
PATIENCE_S = 120.0
RACK = "rack.json"
STAGES = ("granted", "begun", "done at the BMC", "succeeded")
TIMES = """
SELECT w.id, t.created_at, begun.at, done.at, w.finished_at FROM workflows w
JOIN tasks t ON t.workflow_id = w.id AND t.state = 'done'
JOIN observations begun ON begun.kind = 'task-started' AND begun.data->>'task' = t.id::text
JOIN observations done ON done.kind = 'task-done' AND done.data->>'task' = t.id::text
WHERE w.id = ANY(%s::uuid[])
"""


@dataclass
class Sample:
    """What one round took, in seconds, by each machine; *ours* of the product, *peer* of sushy."""

    posted: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stages: list[tuple[float, ...]] = field(default_factory=list)
    agent_cpu_s: float = 0.0


def measure(folder: Path) -> bool:
    """Print p50 and p99 of both; whether every verb had its effect, and had it once."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        rabbit = stack.enter_context(rabbitmq.running(folder / "rabbit"))
        cluster = stack.enter_context(postgres.running())
        database_url = cluster.fresh_database()
        database.configure(database_url, connections=4)
        runner.migrate()
        rack = stack.enter_context(_rack(folder / "rack"))
        ids, key, site = _inventory(rack)
        edge = stack.enter_context(processes(folder, database_url, rabbit.url))
        agent = stack.enter_context(_site(folder / "site", rabbit.url, key, site, rack))
        samples = [_round(folder, edge, ids, rack, agent) for _ in range(ROUNDS)]
        database.database.close_all()
    return _told(samples)


def _told(samples: list[Sample]) -> bool:
    wrong = [each for sample in samples for each in sample.wrong]
    ours, peer = (_cuts([s for each in samples for s in getattr(each, of)])
                  for of in ("ours", "peer"))  # fmt: skip
    posted = _cuts([s for each in samples for s in each.posted])
    done = sum(len(sample.ours) for sample in samples)
    cpu_ms = sum(each.agent_cpu_s for each in samples) / max(done, 1) * 1000
    taken = zip(*(each for sample in samples for each in sample.stages), strict=True)
    stages = ", ".join(f"{name} {median(s):.2f} s" for name, s in zip(STAGES, taken, strict=True))
    good = not wrong and done == MACHINES * ROUNDS
    sys.stdout.write(
        f"  {MACHINES} power verbs at once, {ROUNDS} times: {done} of {MACHINES * ROUNDS} done,"
        f" wrong {len(wrong)}  {'ok' if good else 'BROKEN'}\n"
        f"  posted to answered:  p50 {posted[0]:.2f} s, p99 {posted[1]:.2f} s\n"
        f"  posted to succeeded: p50 {ours[0]:.2f} s, p99 {ours[1]:.2f} s;"
        f" the site's processes use {cpu_ms:.0f} ms of CPU a verb\n"
        f"  of which, medians: {stages}\n"
        f"  plain sushy, {MACHINES} threads: p50 {peer[0]:.2f} s, p99 {peer[1]:.2f} s"
        f" (ratio {ours[0] / peer[0]:.2f}, {ours[1] / peer[1]:.2f})\n"
    )
    sys.stdout.writelines(f"  {each}\n" for each in wrong[:10])
    return good


def _cuts(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49], cuts[98]


def _round(
    folder: Path, edge: str, ids: list[UUID], rack: Mapping[str, Any], agent: psutil.Process
) -> Sample:
    """Switch all machines on by the product, off, on by the peer, and off again."""
    sample, log = Sample(), Path(rack["writes"])
    before, cpu_s = _orders(log), _spent(agent)
    asked = _ask(edge, ids, sample)
    _wait(list(asked), sample, asked)
    sample.agent_cpu_s = _spent(agent) - cpu_s
    orders = {name: count - before.get(name, 0) for name, count in _orders(log).items()}
    for machine in rack["machines"]:
        name, state = machine["name"], _power(machine["bmc"])
        if state != "On" or orders.get(name, 0) != 1:
            sample.wrong.append(f"{name} is {state}, told {orders.get(name, 0)} times")
    _peer(folder, "ForceOff")
    sample.peer = _peer(folder, "On")
    _peer(folder, "ForceOff")
    return sample


def _ask(edge: str, ids: list[UUID], sample: Sample) -> dict[UUID, float]:
    """Ask for all machines at once; return when each workflow was asked for, since the epoch."""
    ready = threading.Barrier(len(ids))

    def ask(machine: UUID) -> tuple[UUID | None, float]:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        ready.wait()
        began, path = time.time(), f"{edge}/v1/machines/{machine}/power-on"
        answer = session.post(path, json={"reason": "bench"}, timeout=60)
        sample.posted.append(time.time() - began)
        if answer.status_code != 202:
            sample.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
            return None, began
        return UUID(answer.json()["id"]), began

    with ThreadPoolExecutor(len(ids)) as pool:
        return {flow: began for flow, began in pool.map(ask, ids) if flow is not None}


def _wait(flows: list[UUID], sample: Sample, asked: Mapping[UUID, float]) -> None:
    pause, until = threading.Event(), time.monotonic() + PATIENCE_S
    rows: list[Any] = []
    while len(rows) < len(flows) and time.monotonic() < until:
        pause.wait(0.2)
        with borrowed():
            ended = (Workflow.id.in_(flows)) & (Workflow.state != "running")
            rows = list(Workflow.select().where(ended))
    for row in rows:
        if row.state == "succeeded":
            sample.ours.append(row.finished_at.timestamp() - asked[row.id])
        else:
            sample.wrong.append(f"{row.state}: {row.detail}")
    sample.wrong += ["lost"] * (len(flows) - len(rows))
    with borrowed():
        for flow, *stages in database.database.execute_sql(TIMES, (list(map(str, flows)),)):
            at = [asked[flow], *(each.timestamp() for each in stages)]
            sample.stages.append(tuple(late - soon for soon, late in pairwise(at)))


def _orders(log: Path) -> dict[str, int]:
    """Return how often each machine was told to change its power, by the BMCs' own log."""
    found: dict[str, int] = {}
    for each in writes.read(log):
        if each.governs and each.method == "POST":
            found[each.machine] = found.get(each.machine, 0) + 1
    return found


def _power(bmc: Mapping[str, str]) -> str:
    login = (bmc["username"], Path(bmc["password_file"]).read_text().strip())
    found = requests.get(bmc["address"] + bmc["system"], auth=login, timeout=30)
    return str(found.json()["PowerState"])


def _peer(folder: Path, order: str) -> list[float]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.power_peer", order]
    path = str(folder / "rack" / RACK)
    done = subprocess.run([*command, path], capture_output=True, check=True, timeout=PATIENCE_S)
    times: list[float] = json.loads(done.stdout)
    return times


def _inventory(rack: Mapping[str, Any]) -> tuple[list[UUID], bytes, UUID]:
    with borrowed():
        site = make.site("bench")
        ids = [_machine(site, each) for each in rack["machines"]]
        return ids, agents.signing_key(site), site


def _machine(site: UUID, machine: Mapping[str, Any]) -> UUID:
    told = machine["bmc"]
    bmc = {"protocol": "redfish", "address": told["address"], "username": told["username"]}
    nics = [make.interface(machine["mac"])]
    added: UUID = make.machine(site, machine["name"], nics, bmc=bmc | {"secret_ref": "env:BMC"})
    return added


@contextmanager
def _rack(folder: Path) -> Iterator[dict[str, Any]]:
    """Simulated machines that try their disks first and never a network's services."""
    folder.mkdir()
    [dhcp, tftp] = process.free_ports(2)
    command = [sys.executable, "-m", "deploy.rack", "simulated", "--state", str(folder)]
    command += ["--machines", str(MACHINES), "--order", "disk", "--relay", "127.66.0.2"]
    command += ["--dhcp", f"127.66.0.1:{dhcp}", "--tftp-port", str(tftp)]
    log = folder / "rack.log"
    running = process.launch(command, log)
    described = folder / RACK
    try:
        process.wait_until_ready(running, described.stat, log, seconds=60)
        yield json.loads(described.read_text())
    finally:
        process.stop(running)


@contextmanager
def _site(
    folder: Path, broker_url: str, key: bytes, site: UUID, rack: Mapping[str, Any]
) -> Iterator[psutil.Process]:
    """One site with its agent, once control has heard it."""
    at = Site(folder, SimpleNamespace(url=broker_url, key=key), site=site)  # type: ignore[arg-type] # of control it needs these alone
    password = Path(rack["machines"][0]["bmc"]["password_file"]).read_text().strip()
    at.start(SECRET_BMC=password, LOG_LEVEL="WARNING")
    assert at.process is not None
    try:
        _heard(site, time.monotonic() + PATIENCE_S)
        yield psutil.Process(at.process.pid)
    finally:
        at.end()


def _heard(site: UUID, until: float) -> None:
    pause = threading.Event()
    while time.monotonic() < until:
        with borrowed():
            if any(agent.live for agent in queries.agents(site)):
                return
        pause.wait(0.2)
    raise TimeoutError("the site's agent was not heard")


def _spent(leader: psutil.Process) -> float:
    """Return the processor seconds of the site's processes so far."""
    family = [leader, *leader.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)
