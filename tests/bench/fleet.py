"""Simulated machines provisioned end to end through real RabbitMQ and PostgreSQL, all at once.

`python -m tests.bench fleet`; FLEET says how many (1000).  Bound: all active within 15 minutes.
"""

import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.services import process

MACHINES = int(os.environ.get("FLEET", "1000"))
LIMIT_S = 900.0
ENDED = "all machines are active"


def measure(folder: Path) -> bool:
    """Print total, times per machine and processor time by process; whether all became active."""
    data, log = folder / "data", folder / "up.log"
    data.mkdir(parents=True)
    [port] = process.free_ports(1)
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPROUT_")}
    env |= {"SPROUT_DATA_DIR": str(data), "SPROUT_BIND": f"127.0.0.1:{port}"}
    code = "import sys; from edge.cli.main import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "up", "--rack", str(MACHINES), "--simulated"]
    began = time.monotonic()
    supervisor = process.launch(command, log, env=env)
    spent: Counter[str] = Counter()
    pause = threading.Event()
    try:
        while supervisor.poll() is None and time.monotonic() - began < LIMIT_S:
            if ENDED in log.read_text():
                break
            spent = _spent(supervisor.pid) or spent
            pause.wait(1.0)
        total = time.monotonic() - began
    finally:
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)
    good = ENDED in log.read_text()
    times = [line for line in log.read_text().splitlines() if line.startswith("provisioned")]
    sys.stdout.write(f"  {MACHINES} machines in {total:.0f} s, start included  {_mark(good)}\n")
    sys.stdout.writelines(f"  {line}\n" for line in times)
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in spent.most_common(8))
    sys.stdout.write(f"  processor time: {parts}\n")
    return good


def _mark(good: bool) -> str:
    return "ok" if good else "BROKEN"


def _spent(root: int) -> Counter[str]:
    """Return the processor seconds of every process so far, by what it is."""
    found: Counter[str] = Counter()
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(root).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                times = each.cpu_times()
                found[_name(each)] += times.user + times.system
    return found


def _name(each: psutil.Process) -> str:
    words = " ".join(each.cmdline())
    for name in ("edge.serve", "actors.control", "actors.site", "deploy.rack"):
        if name in words:
            return name
    return "rabbitmq" if "beam" in each.name() else each.name()
