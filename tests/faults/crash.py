"""The whole product on one machine, its processes killed and stopped at seeded moments.

`python -m tests.faults.crash N` runs N schedules, and says what came of each.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from edge.cli.client import Api, Told
from tests.services import process

MACHINES: Final = 6
FAULTS: Final = 6
WITHIN_S: Final = 8.0
"""Seconds over which the faults are spread, from when the machines are racked."""

AWAY_S: Final = 30.0
PATIENCE_S: Final = 240.0
"""For everything to be well again: a lease that nobody renews takes 35 s to be given on."""

VICTIMS: Final = (
    "edge",
    "control",
    "site-agent",
    "site-dhcp",
    "site-http",
    "site-tftp",
    "rabbitmq",
    "postgres",
)
RACKED: Final = "SIMULATED"


@dataclass
class Outcome:
    """What a schedule did, and what was wrong in the end."""

    seed: int
    faults: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(seed: int, folder: Path) -> Outcome:
    """Provision machines under the faults of *seed*; everything is well in the end, or it says."""
    outcome, chance = Outcome(seed), random.Random(seed)
    began = time.monotonic()
    with _started(folder) as (supervisor, log, api):
        moments = sorted(chance.uniform(0, WITHIN_S) for _ in range(FAULTS))
        pause, racked = threading.Event(), time.monotonic()
        for moment in moments:
            pause.wait(max(0.0, racked + moment - time.monotonic()))
            outcome.faults.append(_fault(chance, supervisor, folder))
        outcome.wrongs += _settled(api(), log)
        outcome.wrongs += _patiently(lambda: _counted(folder, api()))
    outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def _started(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Any]]:
    data, log = folder / "data", folder / "up.log"
    data.mkdir(parents=True)
    (port,) = process.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPROUT_")}
    env |= {"SPROUT_DATA_DIR": str(data), "SPROUT_BIND": f"127.0.0.1:{port}"}
    code = "import sys; from edge.cli.main import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "up", "--rack", str(MACHINES), "--simulated"]
    supervisor = process.launch(command, log, env=env)

    def api() -> Api:
        token = json.loads((data / "secrets.json").read_text())["admin_token"]
        return Api(url, token)

    try:
        process.wait_until_ready(supervisor, lambda: _racked(log), log, seconds=120)
        yield supervisor, log, api
    finally:
        supervisor.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(60)
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.wait()


def _racked(log: Path) -> None:
    if "registered" not in log.read_text():
        raise ConnectionError


def _fault(chance: random.Random, supervisor: subprocess.Popen[bytes], folder: Path) -> str:
    name, stops = chance.choice(VICTIMS), chance.random() < 0.25
    span = chance.uniform(0.5, 3.0)
    victims = _processes(name, supervisor.pid, folder)
    if not victims:
        return f"{name}: away already"
    victim = chance.choice(victims)
    with suppress(psutil.NoSuchProcess):
        if stops:
            victim.suspend()
            timer = threading.Timer(span, _resume, (victim,))
            timer.start()
            return f"{name}: stopped for {span:.1f} s"
        victim.kill()
    return f"{name}: killed"


def _resume(victim: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        victim.resume()


def _processes(name: str, root: int, folder: Path) -> list[psutil.Process]:
    """Return the running processes that *name* means: of a site, by what they hold open."""
    found = []
    for each in psutil.Process(root).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if _is(name, each, folder):
                found.append(each)
    return found


def _is(name: str, each: psutil.Process, folder: Path) -> bool:
    words = " ".join(each.cmdline())
    match name:
        case "edge":
            return "edge.serve" in words
        case "control":
            return "actors.control" in words
        case "rabbitmq":
            return "beam" in each.name()
        case "postgres":
            return each.name() == "postgres" and " -D " in words
        case _:
            return "actors.site" in words and each.pid in _seats(folder, name.removeprefix("site-"))


def _seats(folder: Path, child: str) -> set[int]:
    pids = set()
    for line in (folder / "data" / "log" / "site.log").read_text().splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if told.get("event") == "site.started" and told.get("child") == child:
                pids.add(told["pid"])
    return pids


def _settled(api: Api, log: Path) -> list[str]:
    """Wait until nothing works any more; say what did not end well."""
    pause, until = threading.Event(), time.monotonic() + PATIENCE_S
    rows: list[dict[str, Any]] = []
    while time.monotonic() < until:
        with suppress(Exception):
            rows = api.items("/v1/machines")
            flows = [flow for flow in api.items("/v1/workflows") if flow["state"] == "running"]
            if len(rows) == MACHINES and not flows and _all(rows, "active"):
                return []
        pause.wait(1.0)
    left = Counter(f"{row['state']}: {(row['workflow'] or {}).get('detail')}" for row in rows)
    return [f"after {PATIENCE_S:.0f} s: {dict(left)}", log.read_text()[-500:]]


def _all(rows: list[dict[str, Any]], state: str) -> bool:
    return all(row["state"] == state for row in rows)


def _patiently(ask: Callable[[], list[str]]) -> list[str]:
    """Return what *ask* does: the last fault may be so late that its victim is starting yet."""
    pause, until = threading.Event(), time.monotonic() + AWAY_S
    while True:
        try:
            return ask()
        except Told as exc:
            if time.monotonic() > until:
                return [f"after {AWAY_S:.0f} s: {exc}"]
        pause.wait(1.0)


def _counted(folder: Path, api: Api) -> list[str]:
    """Count at the BMCs, and among the addresses."""
    wrongs = []
    addresses = [row["address"] for row in api.items("/v1/ip-allocations")]
    if len(set(addresses)) != len(addresses):
        wrongs.append(f"an address was given twice: {addresses}")
    for name, most in _granted(api).items():
        posts = _resets(folder)[name]
        if posts > most:
            wrongs.append(f"{name}: {posts} resets for {most} epochs of power")
    return wrongs


def _resets(folder: Path) -> Counter[str]:
    lines = (folder / "data" / "rack-simulated" / "bmc-writes.jsonl").read_text().splitlines()
    writes = [json.loads(line) for line in lines]
    return Counter(w["machine"] for w in writes if w["path"].endswith("ComputerSystem.Reset"))


def _granted(api: Api) -> Counter[str]:
    """Return how many power tasks each machine's agents began, by the rack's name of it."""
    begun: Counter[str] = Counter()
    for row in api.items("/v1/machines"):
        timeline = api.items(f"/v1/machines/{row['id']}/timeline", limit=500)
        epochs = {
            event["data"]["epoch"]
            for event in timeline
            if event["kind"] in {"task-started", "task-failed", "task-done"}
            and str(event["data"].get("kind", "")).startswith(("power", "reboot"))
        }
        begun[row["hostname"].removeprefix("sim-")] = len(epochs)
    return begun


def main(count: int, first: int = 1) -> int:
    """Run *count* schedules from seed *first*; return the exit status."""
    bad = 0
    for seed in range(first, first + count):
        with TemporaryDirectory(prefix="sprout-crash-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)
            outcome = run(seed, Path(name))
        bad += bool(outcome.wrongs)
        word, told = "BAD" if outcome.wrongs else "ok ", "; ".join(outcome.faults)
        sys.stdout.write(f"{seed:4d}  {word}  {outcome.seconds:5.1f} s  {told}\n")
        sys.stdout.writelines(f"      {wrong}\n" for wrong in outcome.wrongs)
        sys.stdout.flush()
    sys.stdout.write(f"{count} schedules, {bad} bad\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
