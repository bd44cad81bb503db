"""A small Vault: one version 2 key-value engine at `kv/`, which refuses what Vault refuses."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from config.tls import Credentials

TOKEN = "hvs.correct-horse"
DATA = "/v1/kv/data/"

Fault = Callable[["Handler"], bool]
"""Answers a request wrongly and returns True, or leaves it alone and returns False."""


@dataclass
class Kept:
    """What Vault holds; *deleted* has paths whose newest version is deleted."""

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    sealed: bool = False
    faults: list[Fault] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    kept: Kept

    def answer(self, status: int, body: Any, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.kept.paths.append(self.path)
        if not any(fault(self) for fault in self.kept.faults):
            self._honestly()

    def log_message(self, *args: object) -> None:
        pass

    def _honestly(self) -> None:
        path = self.path.removeprefix(DATA)
        if self.kept.sealed:
            self.answer(503, {"errors": ["Vault is sealed"]})
        elif self.headers.get("X-Vault-Token") not in self.kept.tokens:
            self.answer(403, {"errors": ["permission denied"]})
        elif path == self.path or path not in self.kept.secrets:
            self.answer(404, {"errors": []})
        elif path in self.kept.deleted:
            self.answer(404, {"data": {"data": None, "metadata": {"destroyed": False}}})
        else:
            found = {"data": self.kept.secrets[path], "metadata": {"version": 3}}
            self.answer(200, {"request_id": "1", "data": found})


@contextmanager
def running(tls: Credentials | None = None) -> Iterator[Kept]:
    """Run it on a port of its own, with *tls* over HTTPS."""
    kept = Kept()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"kept": kept}))
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    kept.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
