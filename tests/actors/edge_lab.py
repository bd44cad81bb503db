"""A small edge that serves blobs as a test tells it to, and a relay that cuts connections."""

import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RANGE = re.compile(r"bytes=(\d+)-")

Fault = Callable[["Handler"], None]


@dataclass
class Small:
    """*faults* are asked in turn, one a request, before the honest answers."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def keep(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.blobs[sha256] = content
        return sha256

    @staticmethod
    def link(sha256: str) -> str:
        return f"/v1/blobs/{sha256}?g=right"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    edge: Small

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.edge.requests.append((self.command, self.headers.get("Range")))
        fault = self.edge.faults.pop(0) if self.edge.faults else None
        (fault or Handler.honest)(self)

    def do_HEAD(self) -> None:
        sha256 = self.sha256()
        if sha256 in self.edge.blobs:
            self.answer(200)
        else:
            have = len(self.edge.parts.get(sha256, b""))
            self.answer(404, **{"Upload-Offset": str(have)})

    def do_PUT(self) -> None:
        told = self.headers.get("Content-Range")
        self.edge.requests.append(("PUT", told))
        fault = self.edge.faults.pop(0) if self.edge.faults else None
        if fault is not None:
            fault(self)
            return
        start, total = (int(told.split()[1].split("-")[0]), int(told.rpartition("/")[2]))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sha256 = self.sha256()
        have = self.edge.parts.get(sha256, b"")[:start] + body
        self.edge.parts[sha256] = have
        if len(have) == total:
            assert self.edge.keep(have) == sha256
        self.answer(201 if len(have) == total else 202, **{"Upload-Offset": str(len(have))})

    def sha256(self) -> str:
        return self.path.rpartition("/")[2].partition("?")[0]

    def honest(self, cut: int | None = None) -> None:
        """Serve the blob, or only the first *cut* bytes of what was asked for."""
        content = self.edge.blobs.get(self.sha256())
        if content is None:
            self.answer(404)
            return
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if start >= len(content) and asked:
            self.answer(416)
            return
        more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.begin(206 if asked else 200, len(content) - start, **(more if asked else {}))
        self.wfile.write(content[start:][:cut])
        if cut is not None:
            self.hang_up()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.begin(status, len(body), **headers)
        self.wfile.write(body)

    def begin(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def hang_up(self) -> None:
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


def cut(after: int) -> Fault:
    return lambda handler: handler.honest(after)


def says(status: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(status, **named)


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Small]:
    edge = Small()
    handler = type("Of", (Handler,), {"edge": edge})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # callers leave early
    server.daemon_threads = True
    edge.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield edge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def relay(port: int, *, most: int) -> Iterator[str]:
    """The URL of a relay to *port* that ends each connection after *most* bytes of answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def carry() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
            threading.Thread(target=up, args=(client, server), daemon=True).start()
            left = most
            while left > 0 and (piece := server.recv(min(left, 65536))):
                client.sendall(piece)
                left -= len(piece)
            client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_RDWR)

    def up(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(65536):
                server.sendall(piece)

    threading.Thread(target=carry, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
