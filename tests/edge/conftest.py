"""The edge as its callers meet it: in this process for most, as a process where that matters."""

import hashlib
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from edge.app import EdgeConfig, create_app
from tests.edge import make
from tests.edge.browser import axe_core, chromium, page
from tests.edge.live import TOKEN, hearing
from tests.services import process

__all__ = ["TOKEN", "axe_core", "chromium", "page"]

TOKEN_HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
ROOT = Path(__file__).parents[2]
NOWHERE = Path("/nonexistent/sprout")


def config(**more):
    fields = {
        "public_url": "http://localhost",
        "allowed_hosts": ("localhost", "127.0.0.1"),
        "admin_token_hash": TOKEN_HASH,
        "session_key": "k" * 32,
        "broker": "postgres",
        "events_socket": NOWHERE / "events.sock",
        "blob_dir": NOWHERE,
        "artifact_dir": NOWHERE,
    }
    return EdgeConfig(**fields | more)


class Api:
    """A caller with a token, that speaks JSON."""

    def __init__(self, app, token=TOKEN):
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path, **more):
        return self._client.get(path, headers=self._headers | more.pop("headers", {}), **more)

    def post(self, path, json=None, **more):
        headers = self._headers | more.pop("headers", {})
        if "data" in more:
            return self._client.post(path, headers=headers, **more)
        return self._client.post(path, json={} if json is None else json, headers=headers, **more)

    def patch(self, path, json, **more):
        headers = self._headers | more.pop("headers", {})
        return self._client.patch(path, json=json, headers=headers, **more)

    def delete(self, path, **more):
        return self._client.delete(path, headers=self._headers | more.pop("headers", {}), **more)

    def made(self, path, body):
        """Create something that must be good; return it."""
        answer = self.post(path, body)
        assert answer.status_code == 201, answer.json
        return answer.json

    def audit(self):
        return self.get("/v1/audit").json["items"]


@pytest.fixture
def bare():
    """The application without a database."""
    return create_app(config())


@pytest.fixture
def app(database_url):
    return create_app(config(database_url=database_url))


@pytest.fixture
def client(app):
    """A caller without a token."""
    return app.test_client()


@pytest.fixture
def api(app):
    return Api(app)


@pytest.fixture
def site(api):
    return api.made("/v1/sites", make.site())


@dataclass
class Edge:
    """A running edge process."""

    url: str
    master: subprocess.Popen[bytes]
    log: Path

    def get(self, path, **headers):
        given = {"Authorization": f"Bearer {TOKEN}"} | headers
        return requests.get(f"{self.url}{path}", headers=given, timeout=60)

    def post(self, path):
        given = {"Authorization": f"Bearer {TOKEN}"}
        return requests.post(f"{self.url}{path}", headers=given, timeout=60)


def variables(database_url, home):
    """The settings of an edge on a free port."""
    (port,) = process.free_ports(1)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "MALLOC_ARENA_MAX": "2",
        "SPROUT_DATABASE_URL": database_url,
        "SPROUT_BROKER": "postgres",
        "SPROUT_BIND": f"127.0.0.1:{port}",
        "SPROUT_API_URL": f"http://127.0.0.1:{port}",
        "SPROUT_EVENTS_SOCKET": str(Path(home) / "events.sock"),
        "SPROUT_ADMIN_TOKEN_HASH": TOKEN_HASH,
        "SPROUT_SESSION_KEY": "k" * 32,
    }


@pytest.fixture
def settings(database_url, tmp_path):
    return variables(database_url, tmp_path)


@contextmanager
def serving(settings, folder):
    """The edge as `python -m edge.serve` runs it, for the block."""
    log = folder / "edge.log"
    command = [sys.executable, "-m", "edge.serve"]
    started = process.launch(command, log, env=settings, cwd=folder)
    edge = Edge(settings["SPROUT_API_URL"], started, log)
    try:
        process.wait_until_ready(started, lambda: edge.get("/healthz"), log, seconds=60)
        yield edge
    finally:
        process.stop(started, how=signal.SIGTERM)


@pytest.fixture
def live(settings, tmp_path):
    """The events process that the edge of the same test passes streams on to."""
    with hearing(settings, tmp_path) as running:
        yield running


@pytest.fixture
def served(settings, tmp_path):
    with serving(settings, tmp_path) as edge:
        yield edge
