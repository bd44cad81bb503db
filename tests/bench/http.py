"""Boot HTTP beside nginx: whole files, ranges, and scripts while many download.

Each server on the same core, the load on two others; figures are ratios of medians of rounds that
take turns.
"""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench import http_peers
from tests.bench.first_light import say
from tests.bench.http_boots import boots
from tests.bench.http_peers import CLIENT_CORES, FILE, Peer

ROUNDS = 5
SECONDS = 2.0
SIZE = 256 * 1024 * 1024
OPEN = 1000
KINDS = {"whole": (8, "bytes", 0.9), "ranges": (32, "requests", 0.6)}
"""Kind of load → connections of each of two clients, what counts, and at least which ratio."""


def measure(folder: Path) -> bool:
    """Print the figures; return whether they keep their bounds."""
    files = folder / "files"
    (files / "os").mkdir(parents=True)
    _fill(files / FILE)
    with (
        http_peers.ours(folder / "sprout", files) as (sprout, boot),
        http_peers.nginx(folder / "nginx", files) as nginx,
    ):
        kept = [_compare(kind, sprout, nginx) for kind in KINDS]
        _memory(sprout)
        return all([*kept, boots(folder, boot, sprout)])


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(SIZE // 2**20):
            file.write(os.urandom(2**20))


def _compare(kind: str, sprout: Peer, nginx: Peer) -> bool:
    connections, counted, least = KINDS[kind]
    found: dict[str, list[tuple[float, float]]] = {"sprout": [], "nginx": []}
    for _ in range(ROUNDS):
        for peer in (sprout, nginx):
            found[peer.name].append(_load(peer, kind, connections, counted))
    rates = {name: median(rate for rate, _ in each) for name, each in found.items()}
    costs = {name: median(cost for _, cost in each) for name, each in found.items()}
    ratio = rates["sprout"] / rates["nginx"]
    say(f"http {kind}: {2 * connections} connections, median of {ROUNDS} rounds in turns")
    for name, rate in rates.items():
        shown = f"{rate / 1e9:8.2f} GB/s" if counted == "bytes" else f"{rate:8.0f} requests/s"
        say(f"  {name:<10}{shown}, {costs[name]:.2f} core-seconds a second")
    say(f"  {ratio:.2f} x nginx, at least {least}")
    return ratio >= least


def _memory(peer: Peer) -> None:
    """Print what a download costs whose client takes nothing, the kernel's part left out."""
    asked = f"GET /artifacts/{FILE} HTTP/1.1\r\nHost: s\r\n\r\n".encode()
    before = peer.private_bytes()
    with ExitStack() as stack:
        for number in range(OPEN):
            source = (f"127.67.{number // 50}.1", 0)
            sock = socket.create_connection(("127.0.0.1", peer.port), None, source)
            stack.enter_context(sock)
            sock.sendall(asked)
            sock.recv(1)  # it is under way
        each = (peer.private_bytes() - before) / OPEN
    say(f"http: an open download has {each / 1024:.1f} KiB, beside its sockets in the kernel")


def _load(peer: Peer, kind: str, connections: int, counted: str) -> tuple[float, float]:
    """Return what *counted* per second, and the core-seconds of the server per second."""
    words = (str(peer.port), kind, str(connections), str(SECONDS), str(SIZE))
    command = [sys.executable, "-m", "tests.bench.http_client", *words]
    before = peer.cpu_s()
    clients = [
        subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.PIPE)
        for core in sorted(CLIENT_CORES)
    ]
    said = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    used = peer.cpu_s() - before
    return sum(each[counted] / each["seconds"] for each in said), used / SECONDS
