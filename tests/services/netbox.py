"""Exchanges with NetBox, written down by its documentation and replayed strictly.

What is asked otherwise, or out of turn, is answered 418: no test passes by an exchange that nobody
foresaw.  Form of the answers: NetBox 3.7, «ipam/prefixes», «ipam/ip-addresses».
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is to be asked next, and what is answered."""

    method: str
    path: str
    status: int
    answer: Any = None
    body: Any = None


@dataclass
class Replay:
    """*left* is what must still be asked; *strange* what was asked instead."""

    url: str = ""
    left: list[Exchange] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


def prefix(number: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"https://netbox.example/api/ipam/prefixes/{number}/",
        "display": text,
        "family": {"value": 4, "label": "IPv4"},
        "prefix": text,
        "status": {"value": "active", "label": "Active"},
        "is_pool": False,
        "mark_utilized": False,
        "description": "",
        "_depth": 0,
    }


def address(number: int, text: str, *, name: str, description: str) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"https://netbox.example/api/ipam/ip-addresses/{number}/",
        "display": text,
        "family": {"value": 4, "label": "IPv4"},
        "address": text,
        "vrf": None,
        "status": {"value": "active", "label": "Active"},
        "assigned_object": None,
        "dns_name": name,
        "description": description,
        "tags": [],
    }


def listing(*results: Any) -> dict[str, Any]:
    return {"count": len(results), "next": None, "previous": None, "results": list(results)}


class _Handler(BaseHTTPRequestHandler):
    replay: Replay
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        wanted = self.replay.left[0] if self.replay.left else None
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            self._send(403, {"detail": "Invalid token"})
        elif wanted is None or (wanted.method, wanted.path, wanted.body) != (
            self.command,
            self.path,
            body,
        ):
            self.replay.strange.append(f"{self.command} {self.path} {body}")
            self._send(418, {"detail": "nobody foresaw this"})
        else:
            self.replay.left.pop(0)
            self._send(wanted.status, wanted.answer)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _send(self, status: int, answer: Any) -> None:
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def replaying(*exchanges: Exchange) -> Iterator[Replay]:
    """A server for the block that answers *exchanges*, in this order, and nothing else."""
    replay = Replay(left=list(exchanges))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"replay": replay}))
    server.daemon_threads = True
    replay.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
