"""A thousand machines ask for scripts and answers within a second, while 200 downloads run."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from models import bootplan
from models.bootplan import Access, Addressing, BootPlan
from pxe_stack import render
from tests.bench.first_light import say
from tests.bench.http_peers import Peer, pin
from tests.pxe_stack import make
from tests.pxe_stack.lab import Boot

MACHINES = 1000
DOWNLOADS = 200
SPREAD_S = 1.0
ROUNDS = 3
CLIENTS = 2
P99_MS = 200.0
ASKED = (
    ("GET", Access.SCRIPT, "script"),
    ("GET", Access.SEED, "manifest"),
    ("GET", Access.SEED, "seed/user-data"),
)


def plan(number: int, base: str) -> BootPlan:
    """Return the plan of machine *number*, which speaks from an address of its own."""
    made = make.another(number)
    address = Addressing(address=f"127.64.{number >> 8}.{number & 255}", prefix_length=8)
    order = render.Order(
        hostname=made.hostname,
        mac=made.mac,
        addressing=address,
        kernel_path="os/vmlinuz",
        initrd_path="os/initrd.img",
        image_path="os/disk.raw",
        image_sha256="0" * 64,
        image_size=1,
        instance_id="i",
        disk_serial="S",
    )
    return replace(
        made,
        addressing=address,
        documents=render.documents(order),
        boot_base_url=base,
        files=(),
    )


def boots(folder: Path, boot: Boot, peer: Peer) -> bool:
    """Print how long answers take; return whether all came, and soon enough."""
    plans = [plan(number, boot.site.boot_url) for number in range(MACHINES)]
    for each in plans:
        boot.stores.plans.put(each)
    for pid in peer.pids:
        pin(pid, set(range(os.cpu_count() or 1)))
    say(f"http boots: {MACHINES} machines over {SPREAD_S:.0f} s, {len(ASKED)} requests each,")
    say(f"  beside {DOWNLOADS} downloads, {ROUNDS} rounds")
    found = [_round(folder, plans, peer) for _ in range(ROUNDS)]
    p99 = median(each for _, each in found)
    lost = sum(each for each, _ in found)
    say(f"  {lost} lost; median p99 {p99:.1f} ms of at most {P99_MS:.0f}")
    return not lost and p99 <= P99_MS


def _round(folder: Path, plans: list[BootPlan], peer: Peer) -> tuple[int, float]:
    """Return how many machines were lost, and the p99 of answers in milliseconds."""
    words = (str(peer.port), "whole", str(DOWNLOADS), "20", "1")
    command = [sys.executable, "-m", "tests.bench.http_client", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as beside:
        threading.Event().wait(1.5)
        before = peer.cpu_s()
        taken, lost = play(
            folder, [(n * SPREAD_S / MACHINES, p) for n, p in enumerate(plans)], ASKED
        )
        used = peer.cpu_s() - before
        assert beside.poll() is None, "the downloads ended early"
        beside.kill()
    taken.sort()
    p99 = taken[int(len(taken) * 0.99)]
    say(
        f"  {len(taken)} answered: p50 {median(taken):.1f} ms, p99 {p99:.1f}, longest"
        f" {taken[-1]:.1f}; {used:.2f} core-seconds with the downloads"
    )
    return len(lost), p99


def play(
    folder: Path, plans: list[tuple[float, BootPlan]], asked: Sequence[tuple[str, Access, str]]
) -> tuple[list[float], list[str]]:
    """Have each plan's machine ask, from its second on; return milliseconds, and who was lost."""
    told = [
        (start, each.addressing.address, urlsplit(each.boot_base_url).port, asks(each, asked))
        for start, each in plans
    ]
    return played(folder, told)


def played(
    folder: Path, told: list[tuple[float, str, int | None, list[str]]]
) -> tuple[list[float], list[str]]:
    """Have machines ask as `http_machines` is told; return as `play` does."""
    clients = []
    for number in range(CLIENTS):
        path = folder / f"machines-{number}.json"
        path.write_text(json.dumps(told[number::CLIENTS]), encoding="ascii")
        command = [sys.executable, "-m", "tests.bench.http_machines", str(path)]
        clients.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    said = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    return [t for each in said for t in each["taken"]], [t for each in said for t in each["lost"]]


def asks(plan: BootPlan, asked: Sequence[tuple[str, Access, str]]) -> list[str]:
    """Return what *plan*'s machine sends, in turn."""
    made = []
    for method, access, name in asked:
        path = urlsplit(bootplan.url(plan, make.KEY, access, name)).path
        more = "Content-Length: 3\r\n\r\na=b" if method == "POST" else "\r\n"
        made.append(f"{method} {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n{more}")
    return made
