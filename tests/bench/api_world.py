"""What the API's figures are taken in: a full database, an issuer, our edge, and its peer."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import quantiles
from uuid import UUID

import psutil
import psycopg2
import requests
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from models import database
from models.migrations import runner
from tests.bench.http_peers import pin
from tests.pxe_stack import make
from tests.services import postgres, process

ROOT = Path(__file__).parents[2]
MACHINES = 100_000
AUDIENCE = "sprout-api"
SITE = "ams-1"
PEER = (
    "fastapi>=0.115,<1",
    "uvicorn[standard]>=0.34,<1",
    "asyncpg>=0.30,<1",
    "pyjwt[crypto]>=2.10,<3",
)
"""What the peer is made of, in a venv of its own: no part of the product."""

FILLED = f"""
INSERT INTO sites (id, name, slug, signing_key)
VALUES (md5('site')::uuid, 'Amsterdam', '{SITE}', decode(repeat('00', 32), 'hex'));
INSERT INTO agents (id, site_id, hostname, software, incarnation, speaks, capabilities,
                    last_seen_at, contact_since)
VALUES (md5('agent')::uuid, md5('site')::uuid, 'agent', '1', 'i', '[1,2]', '["redfish"]',
        now() + interval '1 day', now());
INSERT INTO machines (id, site_id, hostname, architecture, labels, memory_mib, disk_bytes, bmc,
                      root_disk, state)
SELECT md5('machine-' || n)::uuid, md5('site')::uuid, 'node-' || lpad(n::text, 6, '0'), 'x86_64',
       json_build_object('rack', 'r' || n / 40, 'role', 'worker'), 65536, 480103981056,
       '{{"protocol": "redfish", "address": "https://10.0.0.1", "username": "admin",
          "secret_ref": "env:BMC", "verify": true, "system": ""}}',
       '{{"serial": "S1", "wwn": "", "minBytes": 0}}', 'available'
FROM generate_series(0, {MACHINES - 1}) AS n;
INSERT INTO interfaces (id, machine_id, name, mac, pxe_enabled)
SELECT md5('interface-' || n)::uuid, md5('machine-' || n)::uuid, 'eth0',
       ('5254' || lpad(to_hex(n), 8, '0'))::macaddr, true
FROM generate_series(0, {MACHINES - 1}) AS n;
ANALYZE;
"""  # noqa: S608 - names and numbers of our own


@dataclass(frozen=True)
class World:
    """Where all of it is, and a token that is good there."""

    folder: Path
    database_url: str
    issuer: str
    token: str
    postmaster: int

    @property
    def site(self) -> str:
        """Return the id of the one site."""
        return str(UUID(hashlib.md5(b"site", usedforsecurity=False).hexdigest()))

    def ids(self) -> list[str]:
        """Return the machines' ids, in the order of their names."""
        with psycopg2.connect(self.database_url) as line, line.cursor() as cursor:
            ours = "SELECT id::text FROM machines WHERE hostname LIKE 'node-%' ORDER BY hostname"
            cursor.execute(ours)
            return [row[0] for row in cursor.fetchall()]

    def ask(self, method: str, path: str, body: str = "") -> str:
        """Return a request of the operator."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n"
        )
        if method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n{body}"


@dataclass(frozen=True)
class Server:
    """One that is measured, with all its processes."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """Return the seconds of processor time that it has used."""
        return sum(sum(each.cpu_times()[:2]) for each in self.family())

    def family(self) -> list[psutil.Process]:
        """Return its processes."""
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]

    def pin(self, cores: set[int]) -> None:
        """Keep all of it on *cores*."""
        for each in self.family():
            pin(each.pid, cores)


@dataclass(frozen=True)
class Load:
    """What came of a load: answers, milliseconds of each, seconds, and the server's own seconds."""

    statuses: Mapping[str, int]
    taken: Sequence[float]
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return len(self.taken) / self.seconds

    @property
    def cpu_us(self) -> float:
        """Return microseconds of the server's processor time for each answer."""
        return self.cpu_s / len(self.taken) * 1e6

    def at(self, share: int) -> float:
        """Return the milliseconds within which *share* of a hundred were answered."""
        return quantiles(self.taken, n=100)[share - 1]


def load(
    world: World,
    server: Server,
    asks: Sequence[str],
    *,
    seconds: float,
    rate: float = 0.0,
    sources: Sequence[str] = ("127.0.0.1",) * 16,
    again: bool = True,
) -> Load:
    """Load *server* from a process of its own: for *seconds*, or once with each of *asks*."""
    told = {"port": server.port, "asks": asks, "sources": sources, "seconds": seconds}
    told |= {"rate": rate, "again": again}
    path = world.folder / "load.json"
    path.write_text(json.dumps(told), encoding="utf8")
    before = server.cpu_s()
    command = [sys.executable, "-m", "tests.bench.api_load", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    said = json.loads(done.stdout)
    return Load(**said, cpu_s=server.cpu_s() - before)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A database with 100,000 machines, and an issuer of tokens."""
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres.running())
        url = cluster.fresh_database()
        database.configure(url, connections=2)
        runner.migrate()
        database.database.close_all()
        with psycopg2.connect(url) as line, line.cursor() as cursor:
            cursor.execute(FILLED)
        issuer, token = stack.enter_context(_issuer(folder / "issuer"))
        assert cluster.postmaster is not None
        yield World(folder, url, issuer, token, cluster.postmaster.pid)


@contextmanager
def _issuer(folder: Path) -> Iterator[tuple[str, str]]:
    (folder / ".well-known").mkdir(parents=True)
    serve = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    url = f"http://127.0.0.1:{server.server_port}"
    key = RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256", "kid": "k1"})
    told = {"issuer": url, "jwks_uri": f"{url}/keys"}
    (folder / ".well-known" / "openid-configuration").write_text(json.dumps(told))
    (folder / "keys").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    now = int(time.time())
    claims = {"iss": url, "aud": AUDIENCE, "sub": "u1", "preferred_username": "ada"}
    claims |= {"iat": now, "exp": now + 3600, "groups": [f"sprout-site:{SITE}:operator"]}
    token = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, key)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield url, token
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def ours(world: World, workers: int) -> Iterator[Server]:
    """Our edge with so many workers."""
    (port,) = process.free_ports(1)
    env = _outside() | {
        "SPROUT_DATABASE_URL": world.database_url,
        "SPROUT_BROKER": "postgres",
        "SPROUT_BIND": f"127.0.0.1:{port}",
        "SPROUT_API_URL": f"http://localhost:{port}",
        "SPROUT_EDGE_WORKERS": str(workers),
        "SPROUT_EDGE_THREADS": "8",
        "SPROUT_OIDC_ISSUER": world.issuer,
        "SPROUT_OIDC_CLIENT_ID": AUDIENCE,
        "SPROUT_LOG_LEVEL": "WARNING",
        "SPROUT_DATA_DIR": str(world.folder / f"edge-{workers}"),
    }
    with _serving(world, "sprout", port, [sys.executable, "-m", "edge.serve"], env) as made:
        yield made


@contextmanager
def peer(world: World, workers: int) -> Iterator[Server]:
    """FastAPI under uvicorn with uvloop and httptools, with as many workers."""
    (port,) = process.free_ports(1)
    home = world.folder / "venv"
    if not home.exists():
        venv.create(home, with_pip=True)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEER], check=True)
    env = _outside() | {
        "PEER_DATABASE": world.database_url,
        "PEER_ISSUER": world.issuer,
        "PEER_AUDIENCE": AUDIENCE,
        "PEER_KEY": make.KEY.hex(),
    }
    command = [str(home / "bin" / "uvicorn"), "tests.bench.api_peer:app", "--app-dir", str(ROOT)]
    command += ["--port", str(port), "--workers", str(workers), "--no-access-log"]
    with _serving(world, "FastAPI", port, command, env) as made:
        yield made


@contextmanager
def _serving(
    world: World, name: str, port: int, command: list[str], env: Mapping[str, str]
) -> Iterator[Server]:
    log = world.folder / f"{name}-{port}.log"
    started = process.launch(command, log, env=env, cwd=ROOT)
    server = Server(name, port, started.pid)
    try:
        process.wait_until_ready(started, lambda: _answers(world, server), log, seconds=60)
        yield server
    finally:
        process.stop(started)


def _answers(world: World, server: Server) -> None:
    url = f"http://localhost:{server.port}/v1/machines?limit=1"
    head = {"Authorization": f"Bearer {world.token}"}
    requests.get(url, headers=head, timeout=5).raise_for_status()


def _outside() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "2", "LANG": "C.UTF-8"}
