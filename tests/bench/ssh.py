"""200 remote tasks at once on Debian's sshd, through the whole product, beside plain `ssh`.

Each goes from POST /v1/machines/…/remote-task over PostgreSQL, RabbitMQ, control and the site's
agent to its machine's sshd, and ends when the workflow has succeeded.  The peer is as many `ssh`
processes, as many at once as the agent runs.  Bound: none lost, each run once.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from uuid import UUID

import requests

from actors.site.runner import SYSTEM_THREADS
from models import database
from models.database import borrowed
from models.migrations import runner
from models.tables import Task, Workflow
from tests.actors import ssh_whole
from tests.actors.ssh_whole import FIRST, Whole
from tests.services import postgres, rabbitmq, sshd

TASKS = 200
CLIENTS = 16
PATIENCE_S = 120.0
COMMAND = "uptime"
POLICY = "version: 1\n"


@dataclass
class Taken:
    """Seconds since the first was asked for, one for each that was done."""

    asked: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    lost: int = 0
    logins: int = 0


def measure(folder: Path) -> bool:
    """Print p50 and p99 of both; whether every task was done, and once."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text(POLICY)
    with rabbitmq.running(folder / "rabbit") as rabbit, postgres.running() as cluster:
        url = cluster.fresh_database()
        database.configure(url, connections=8)
        runner.migrate()
        with ssh_whole.running(folder, url, rabbit.url, TASKS) as whole:
            taken = Taken()
            _ours(whole, taken)
            _peer(folder, whole, taken)
        database.database.close_all()
    return _told(taken)


def _ours(whole: Whole, taken: Taken) -> None:
    before, began = whole.host.log().count("Accepted publickey"), time.time()

    def ask(machine: UUID) -> UUID:
        path = f"{whole.edge}/v1/machines/{machine}/remote-task"
        answer = requests.post(path, json={"command": COMMAND}, headers=whole.headers, timeout=60)
        taken.asked.append(time.time() - began)
        return UUID(answer.json()["id"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        flows = list(pool.map(ask, whole.machines))
    done = _done(flows)
    taken.ours = [ended - began for ended in done]
    taken.lost = len(flows) - len(done)
    taken.logins = whole.host.log().count("Accepted publickey") - before


def _done(flows: list[UUID]) -> list[float]:
    """Return when each succeeded, once all have ended or all patience is over."""
    until = time.monotonic() + PATIENCE_S
    with borrowed():
        while time.monotonic() < until:
            rows = list(Workflow.select().where(Workflow.id.in_(flows)))
            if all(row.state != "running" for row in rows):
                break
            time.sleep(0.2)
        tries = Task.select().where(Task.workflow_id.in_(flows)).count()
    sys.stdout.write(f"  {tries} tasks granted for {len(flows)} workflows\n")
    return [row.finished_at.timestamp() for row in rows if row.state == "succeeded"]


def _peer(folder: Path, whole: Whole, taken: Taken) -> None:
    key, known = folder / "peer", folder / "known_hosts"
    public = sshd.new_key(key)
    addresses = [str(FIRST + number) for number in range(TASKS)]
    known.write_text("".join(f"{a} {whole.host.keys['ed25519']}\n" for a in addresses))
    with (whole.host.folder / "authorized_keys").open("a") as file:
        file.write(f"restrict {public}\n")
    options = (
        "-oBatchMode=yes",
        f"-oUserKnownHostsFile={known}",
        "-oHostKeyAlgorithms=ssh-ed25519",
    )
    words = ["ip", "netns", "exec", whole.netns, "ssh", "-F", "none", "-i", str(key), *options]
    began = time.time()

    def ask(address: str) -> None:
        subprocess.run(
            [*words, f"root@{address}", COMMAND], check=True, capture_output=True, timeout=60
        )
        taken.peer.append(time.time() - began)

    with ThreadPoolExecutor(SYSTEM_THREADS) as pool:
        list(pool.map(ask, addresses))


def _told(taken: Taken) -> bool:
    good = taken.lost == 0 and len(taken.ours) == taken.logins == TASKS
    asked, ours, peer = (_cuts(each) for each in (taken.asked, taken.ours, taken.peer))
    sys.stdout.write(
        f"  {TASKS} remote tasks at once: {len(taken.ours)} done, {taken.lost} lost,"
        f" {taken.logins} logins  {'ok' if good else 'BROKEN'}\n"
        f"  since the first was asked for: accepted p50 {asked[0]:.2f} s, p99 {asked[1]:.2f} s;"
        f" succeeded p50 {ours[0]:.2f} s, p99 {ours[1]:.2f} s\n"
        f"  plain ssh, {SYSTEM_THREADS} at once: p50 {peer[0]:.2f} s, p99 {peer[1]:.2f} s"
        f" (ratio {ours[0] / peer[0]:.2f}, {ours[1] / peer[1]:.2f})\n"
    )
    return good


def _cuts(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49], cuts[98]
