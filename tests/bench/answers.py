"""Two hundred installers ask for their answer within the same second, each of its own run.

What an answer takes is from the connection to its last byte: that it was asked for lies on the
disk before.
"""

import json
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

from models.bootplan import Addressing, BootPlan, Document
from models.installer_calls import Caller
from models.installers import Installer
from tests.bench import http_peers
from tests.bench.first_light import say
from tests.bench.http_boots import played
from tests.pxe_stack import installed, make
from tests.services.pve_board import Board

HOSTS = 200
ROUNDS = 5
SPREAD_S = 1.0
P99_MS = 50.0
OTHERS = 1800
"""Hosts of the site that ask nothing now."""


def measure(folder: Path) -> bool:
    """Print how long answers take; return whether all came, and soon enough."""
    files = folder / "files"
    files.mkdir(parents=True)
    documents = tuple(installed.documents(Installer.PROXMOX).values())
    say(f"answers: {HOSTS} of {HOSTS + OTHERS} hosts within {SPREAD_S:.0f} s, {ROUNDS} rounds")
    with http_peers.ours(folder / "sprout", files) as (peer, boot):
        for number in range(HOSTS, HOSTS + OTHERS):
            boot.stores.plans.put(_plan(number, 1, boot.site.boot_url, documents))
        found = []
        for version in range(1, ROUNDS + 1):
            plans = [_plan(n, version, boot.site.boot_url, documents) for n in range(HOSTS)]
            for each in plans:
                boot.stores.plans.put(each)
            found.append(_round(folder, plans, peer.port))
    p99, lost = median(p99 for p99, _ in found), sum(lost for _, lost in found)
    say(f"  {lost} lost; median p99 {p99:.1f} ms of at most {P99_MS:.0f}")
    return not lost and p99 <= P99_MS


def _plan(number: int, version: int, base: str, documents: tuple[Document, ...]) -> BootPlan:
    other = make.another(number)
    return make.plan(
        machine=UUID(int=number + 1),
        run=uuid4(),
        version=version,
        mac=other.mac,
        hostname=other.hostname,
        addressing=Addressing(address=f"127.64.{number >> 8}.{number & 255}", prefix_length=8),
        boot_base_url=base,
        documents=documents,
        files=(),
        caller=Caller(macs=(other.mac,), serial=f"SN-{number}"),
        ssh_key="ssh-ed25519 AAAAC3Nz run",
    )


def _round(folder: Path, plans: list[BootPlan], port: int) -> tuple[float, int]:
    """Return the p99 of answers in milliseconds, and how many hosts were lost."""
    told = [
        (n * SPREAD_S / HOSTS, each.addressing.address, port, [_asks(each.mac)])
        for n, each in enumerate(plans)
    ]
    taken, lost = played(folder, told)
    taken.sort()
    p99 = taken[int(len(taken) * 0.99)]
    say(
        f"  {len(taken)} answered: p50 {median(taken):.1f} ms, p99 {p99:.1f},"
        f" longest {taken[-1]:.1f}"
    )
    return p99, len(lost)


def _asks(mac: str) -> str:
    """Return what an installer sends (Proxmox VE's schema 1.0)."""
    body = json.dumps(Board(macs=(mac,), serial=f"SN-{mac}").asks())
    fields = (
        "POST /api/boot/answer HTTP/1.1",
        *("Host: s", "Connection: close", "Content-Type: application/json; charset=utf-8"),
        *("Accept: application/json, application/toml;q=0.5", f"Content-Length: {len(body)}"),
    )
    return "\r\n".join([*fields, "", body])
