"""HTTP in front of the BMCs: one port on 127.0.0.1 for each, one thread that accepts for all."""

import logging
import selectors
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import Any, Final

from deploy.rack.redfish.exchange import Request, Response, refused
from deploy.rack.redfish.messages import Refused
from deploy.rack.redfish.service import Service

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"

_LARGEST_BODY: Final = 64 * 1024
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Endpoints:
    """Answers for all services until closed."""

    def __init__(self, services: Sequence[Service], ports: Sequence[int]) -> None:
        """Listen on the *ports*, where 0 is any free one.  Raise OSError when one is taken."""
        with ExitStack() as opened:
            self._listeners = [
                opened.enter_context(_Listener(port, service))
                for port, service in zip(ports, services, strict=True)
            ]
            opened.pop_all()
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._accept, name="bmc", daemon=True)
        self._thread.start()

    @property
    def ports(self) -> list[int]:
        """Where they listen, in the services' order."""
        return [listener.server_address[1] for listener in self._listeners]

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        for listener in self._listeners:
            listener.server_close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ, listener)
            while True:
                ready = [key.data for key, _ in selector.select()]
                if None in ready:
                    return
                for listener in ready:
                    listener.handle_request()


def is_free(port: int) -> bool:
    """Whether one could listen on *port* at this moment."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "RackBMC"
    sys_version = ""
    timeout = 30  # seconds until an idle connection is closed
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True
    server: "_Listener"

    def __getattr__(self, name: str) -> Any:
        # Every method is the service's to judge: an unknown one gets 405, not 501.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError as exc:
            log.debug("bmc.disconnected", extra={"why": str(exc)})

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) <= _LARGEST_BODY:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(length))
            self._send(self.server.service.answer(Request(self.command, self.path, headers, body)))
        else:
            # The body stays unread, so that nothing after it could be understood.
            self.close_connection = True
            self._send(refused(Refused("PayloadTooLarge")))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("OData-Version", "4.0")
        self.send_header("Cache-Control", "no-cache")
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            # Also when the client asked for it (RFC 9112 §9.6): else it may use the connection
            # again before it sees the end of it.
            self.send_header("Connection", "close")
        if response.status not in _BODILESS:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug("bmc.answered", extra={"request": format % args})


class _Listener(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, service: Service) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as exc:
            raise OSError(exc.errno, f"{exc.strerror}: BMC port {port}") from exc

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the port, and the connections that clients keep alive."""
        super().server_close()
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)
