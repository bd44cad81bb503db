"""A file brought to a site by a sync job, against curl on the same link, in paired rounds.

The links are loopback, where the processors are what limits, and one of 1 Gbit/s.

`python -m tests.bench sync`; SYNC_MB says how large (2048).  Both write to the same disk, and both
are done when the file lies on it: curl's is synced, the site's is verified, too.  Beside it stands
curl with `sha256sum` after it, which is as much as the site does, short of its chunk list.  Then
the agent is killed in the middle of another one.  Bounds: at least 0.8 of the rate of curl alone by
the median of the rounds, and at most a chunk fetched twice.
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from actors.site.sums import CHUNK
from models.commands import agents
from models.database import borrowed
from tests.actors.site_whole import Site
from tests.bench import jobs_world
from tests.bench.jobs_world import World
from tests.services.process import free_ports

MB = int(os.environ.get("SYNC_MB", "2048"))
ROUNDS = 3
RATIO = 0.8
GIGABIT = 125_000_000
"""Bytes a second."""
LIMIT_S = 600.0


@dataclass(frozen=True)
class Web:
    """nginx with a folder; its log tells how many bytes it sent of each file."""

    url: str
    folder: Path
    log: Path

    def links(self) -> dict[str, str]:
        """Return where the same folder is, by the link that leads there."""
        return {"loopback": self.url, "1 Gbit/s": f"{self.url}/slow"}

    def sent(self, name: str) -> int:
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return sum(int(length) for path, length in lines if path.endswith(name))


def measure(folder: Path) -> bool:
    """Print both rates of each round, and what was fetched twice; whether the bounds were kept."""
    folder.mkdir(parents=True)
    with _nginx(folder / "www") as web, jobs_world.running(folder / "world") as world:
        site = _site(folder, world)
        try:
            kept = [_paired(folder, world, site, web, link) for link in web.links()]
            good = all([*kept, _killed(world, site, web)])
        finally:
            site.end()
    return good


def _paired(folder: Path, world: World, site: Site, web: Web, link: str) -> bool:
    ratios, base = [], web.links()[link]
    for number in range(ROUNDS):
        name = f"{link[0]}-round-{number}.raw"
        _file(web, name)
        theirs, checked = _curled(folder, base, name)
        job = _job(world, site, web, name, base)
        began = time.monotonic()
        ended = _done(world, job)
        ours = time.monotonic() - began
        assert ended["state"] == "succeeded", ended
        ratios.append(theirs / ours)
        sys.stdout.write(
            f"  {link}, round {number + 1}: curl {MB / theirs:6.0f} MiB/s,"
            f" and sha256sum {MB / checked:6.0f} MiB/s, site {MB / ours:6.0f} MiB/s:"
            f" ratio {theirs / ours:.2f}, {checked / ours:.2f} with sha256sum\n"
        )
        _forget(site, web.folder / "images" / name)
    good = median(ratios) >= RATIO
    sys.stdout.write(f"  {link}: median {median(ratios):.2f} (bound {RATIO})  {_mark(good)}\n")
    return good


def _forget(site: Site, source: Path) -> None:
    """Let no round need the room of those before it."""
    for each in [source, *site.folder.glob("**/cache/??/*")]:
        each.unlink()


def _killed(world: World, site: Site, web: Web) -> bool:
    name = "killed.raw"
    size = _file(web, name)
    job = _job(world, site, web, name, web.url)
    pause = threading.Event()
    while world.get(f"/v1/sync-jobs/{job}")["state"] == "waiting" or web_partial(site) < size // 3:
        pause.wait(0.02)
    os.kill(site.child("agent"), signal.SIGKILL)
    ended = _done(world, job)
    twice = web.sent(name) - size
    # What the kernel had taken of the cut answer counts as sent, though nobody read it.
    good = ended["state"] == "succeeded" and twice <= CHUNK + (16 << 20)
    sys.stdout.write(
        f"  killed in the middle: {ended['state']}, {twice / (1 << 20):.1f} MiB sent twice,"
        f" what lay in socket buffers included  {_mark(good)}\n"
    )
    return good


def web_partial(site: Site) -> int:
    """Return how many bytes of a file on its way lie at the site."""
    return sum(p.stat().st_size for p in site.folder.glob("**/partial/*"))


def _mark(good: bool) -> str:
    return "ok" if good else "BROKEN"


def _done(world: World, job: str) -> dict[str, Any]:
    ended: dict[str, Any] = world.ended(f"/v1/sync-jobs/{job}", LIMIT_S)
    return ended


def _curled(folder: Path, base: str, name: str) -> tuple[float, float]:
    """Return the seconds that curl takes to have the file on the disk, and to have it summed up."""
    target = folder / "curled"
    began = time.monotonic()
    subprocess.run(["curl", "-sS", "-o", target, f"{base}/images/{name}"], check=True)
    subprocess.run(["sync", target], check=True)
    took = time.monotonic() - began
    subprocess.run(["sha256sum", target], stdout=subprocess.DEVNULL, check=True)
    checked = time.monotonic() - began
    target.unlink()
    return took, checked


def _file(web: Web, name: str) -> int:
    (web.folder / "images").mkdir(exist_ok=True)
    block = os.urandom(1 << 20)
    with (web.folder / "images" / name).open("wb") as content:
        for number in range(MB):
            content.write(number.to_bytes(8, "big") + block[8:])
    return MB << 20


def _job(world: World, site: Site, web: Web, name: str, base: str) -> str:
    """Record an image whose one file is *name*, and ask the site to have it; the job's id."""
    ref = name.partition(".")[0]
    with (web.folder / "images" / name).open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    artifact = {"ref": ref, "name": ref, "backend": "filesystem", "prefix": "images"}
    world.post("/v1/artifacts", artifact | {"baseUrl": base})
    image = {"ref": ref, "name": ref, "artifactRef": ref, "architecture": "x86_64"}
    paths = {"kernelPath": name, "initrdPath": name, "checksums": {name: sha256}}
    world.post("/v1/images", image | paths)
    job = world.post("/v1/sync-jobs", {"siteId": str(site._site), "artifactRef": ref})
    return str(job["id"])


def _site(folder: Path, world: World) -> Site:
    made = world.post("/v1/sites", {"name": "Bench", "slug": "bench"})
    with borrowed():
        key = agents.signing_key(UUID(made["id"]))
    control = SimpleNamespace(url=world.database_url, key=key)
    site = Site(folder / "site", control, edge=world.url, site=UUID(made["id"]))
    site.start(OUTBOUND_ALLOW="127.0.0.1")
    pause = threading.Event()
    while not world.get(f"/v1/sites/{made['id']}/health").get("agents"):
        pause.wait(0.1)
    return site


@contextmanager
def _nginx(folder: Path) -> Iterator[Web]:
    folder.mkdir()
    [port] = free_ports(1)
    log = folder / "sent"
    (folder / "conf").write_text(
        f"daemon off; worker_processes 2; user root; pid {folder}/pid; error_log {folder}/error;"
        "events {} http { sendfile on; log_format sent '$uri $body_bytes_sent';"
        f" access_log {log} sent; server {{ listen 127.0.0.1:{port}; root {folder};"
        f" location /slow/ {{ alias {folder}/; limit_rate {GIGABIT}; }} }} }}"
    )
    server = subprocess.Popen(["nginx", "-c", folder / "conf"], stderr=subprocess.DEVNULL)
    try:
        yield Web(f"http://127.0.0.1:{port}", folder, log)
    finally:
        server.terminate()
        server.wait()
