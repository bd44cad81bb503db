"""An agent dies in the middle of a write: its task is granted elsewhere, and ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from models import database, queries
from models.commands import asks, inventory
from models.commands.agents import signing_key
from models.database import borrowed
from models.kinds import Kind, Progress
from models.migrations import runner
from models.tables import Task
from tests.actors import hostile_bmc
from tests.models import make
from tests.services import process

HELD_S = 300


@dataclass(frozen=True)
class FailOver:
    """Seconds from an agent's death to its task's grant elsewhere and its end; the grants."""

    granted_s: float
    ended_s: float
    grants: list[Any]


def measure(folder: Path, database_url: str, broker_url: str) -> FailOver:
    """Kill an agent in the middle of a write, with another at its site."""
    database.configure(database_url, connections=8)
    runner.migrate()
    with ExitStack() as stack:
        bmc = stack.enter_context(hostile_bmc.running())
        with borrowed():
            site = make.site("lab")
            machine = make.machine(
                site,
                interfaces=[make.interface(hostile_bmc.MAC)],
                bmc={
                    "protocol": "redfish",
                    "address": bmc.url,
                    "username": "admin",
                    "secret_ref": "env:BMC",
                },
            )
            inventory.enrolment(make.ADA, site)
            enrolment = {
                "site": str(site),
                "slug": "lab",
                "signing_key": signing_key(site).hex(),
                "broker": broker_url,
                "edge": "http://127.0.0.1:1",
            }
        stack.enter_context(_control(folder, database_url, broker_url))
        sites = [stack.enter_context(_site(folder / n, enrolment)) for n in ("one", "two")]
        _until(lambda: len(queries.agents(site)) == 2 and all(a.live for a in queries.agents(site)))
        return _fail_over(bmc, machine, sites)


def _fail_over(
    bmc: hostile_bmc.Bmc, machine: Any, sites: list[subprocess.Popen[bytes]]
) -> FailOver:
    asked, go_on = threading.Event(), threading.Event()

    def hold(handler: Any) -> bool:
        """Let the first write hang, as its sender dies; the power stays as it is."""
        if handler.command != "POST" or handler.path != hostile_bmc.RESET or asked.is_set():
            return False
        asked.set()
        go_on.wait(HELD_S)
        return True

    bmc.faults.append(hold)
    with borrowed():
        flow = asks.power(make.ADA, machine, Kind.POWER_ON)
    assert asked.wait(60), "no agent asked the BMC"
    with borrowed():
        holder = Task.get().agent_id
    died = datetime.now(UTC)
    for each in sites:
        if _agent(Path(each.args[-1])) == str(holder):  # type: ignore[index, misc] # a list of ours
            each.send_signal(signal.SIGSTOP)  # its supervisor would start it again
            _kill_children(each.pid)
    _until(lambda: queries.workflow(flow).progress is Progress.SUCCEEDED, seconds=120)
    go_on.set()
    with borrowed():
        tasks = list(Task.select().order_by(Task.epoch))
    return FailOver(
        granted_s=(tasks[-1].created_at - died).total_seconds(),
        ended_s=(tasks[-1].finished_at - died).total_seconds(),
        grants=[(each.agent_id, each.epoch, each.state) for each in tasks],
    )


def _kill_children(pid: int) -> None:
    for child in psutil.Process(pid).children(recursive=True):
        child.kill()


def _agent(folder: Path) -> str:
    log = (folder / "log").read_text().splitlines()
    return next(json.loads(line)["agent"] for line in log if '"agent.started"' in line)


@contextmanager
def _control(folder: Path, database_url: str, broker_url: str) -> Iterator[None]:
    env = os.environ | {
        "SPROUT_DATABASE_URL": database_url,
        "SPROUT_BROKER": broker_url,
        "SPROUT_DATA_DIR": str(folder),
    }
    running = process.launch([sys.executable, "-m", "actors.control"], folder / "control", env=env)
    try:
        yield
    finally:
        process.stop(running)


@contextmanager
def _site(folder: Path, enrolment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(parents=True)
    path = folder / "enrolment.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(enrolment))
    [port] = process.free_ports(1)
    env = os.environ | {
        "SPROUT_ENROLMENT_FILE": str(path),
        "SPROUT_DATA_DIR": str(folder),
        "SPROUT_BOOT_BIND_ADDR": "127.0.0.1",
        "SPROUT_BOOT_PORT": str(port),
        "SPROUT_BMC_NETWORKS": "127.0.0.0/8",
        "SPROUT_SECRET_BMC": hostile_bmc.PASSWORD,
    }
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "actors.site", str(folder)], env=env, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGCONT)
        running.terminate()
        running.wait(60)


def _until(done: Any, *, seconds: float = 60) -> None:
    pause, until = threading.Event(), time.monotonic() + seconds
    while True:
        with borrowed():
            if done():
                return
        assert time.monotonic() < until, "it did not come to pass"
        pause.wait(0.05)
