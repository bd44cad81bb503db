"""The edge as a site calls it: purpose `control`, which reaches the enrolment's edge and no other.

Rule 1: a URL that leads to another host, port or scheme is not followed, nor is a redirect.
Rule 2: each step is bounded: connecting, the answer's head, and the pause between two reads.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from typing import Final
from urllib.parse import urljoin, urlsplit

from actors.drivers import reach
from actors.drivers.errors import NotAllowed, Unreachable
from actors.drivers.outbound import address_of
from actors.drivers.reach import Rules, origin

STALL_S: Final = 30.0
"""How long the edge may send nothing, or take nothing."""

HEAD_S: Final = 90.0
"""How long the edge may take to begin its answer: it may have to read a large file first."""

_READ: Final = 1024 * 1024
_MOST_TEXT: Final = 64 * 1024

Tls = Callable[[], ssl.SSLContext]
"""Makes the context of a connection, so that renewed certificates are taken without a restart."""


class Answer:
    """What the edge answers; its body is read piece by piece."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers: HTTPMessage = response.headers
        self._response = response

    @property
    def length(self) -> int | None:
        """Bytes of the body, or None where the edge does not say."""
        return self._response.length

    def read(self) -> bytes:
        """Return what has come, at most 1 MiB; b"" at the end.  Raises Unreachable."""
        try:
            return self._response.read1(_READ)
        except (OSError, HTTPException, ValueError) as exc:
            raise Unreachable("the edge's answer broke off") from exc

    def text(self) -> str:
        """Return the beginning of a short body, such as a problem's.  Raises Unreachable."""
        try:
            return self._response.read(_MOST_TEXT).decode(errors="replace")
        except (OSError, HTTPException, ValueError) as exc:
            raise Unreachable("the edge's answer broke off") from exc


class Edge:
    """The edge at *url*.  Safe to share between threads: each exchange is a connection."""

    def __init__(self, url: str, tls: Tls | None = None, rules: Rules | None = None) -> None:
        self._url = url
        self._tls = tls or ssl.create_default_context
        self._rules = rules or reach.control()

    @contextmanager
    def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[Answer]:
        """Send a request for *url*, which may begin with its path; the answer is for the block.

        Raises NotAllowed and Unreachable; neither repeats the query, which bears a right.
        """
        whole = urljoin(f"{self._url}/", url)
        there = origin(whole)
        if there != origin(self._url):
            raise NotAllowed(f"the edge is {self._url}, and the URL leads to {there.host}")
        parts = urlsplit(whole)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        with self._connected() as connection:
            with _bounded(connection.sock, HEAD_S):
                answer = _asked(connection, method, target, headers, body)
            if 300 <= answer.status < 400 and "Location" in answer.headers:
                raise NotAllowed("the edge redirects, and is not followed")
            yield answer

    @contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        scheme, host, port = origin(self._url)
        try:
            address = address_of(self._rules, host, port)
            line = socket.create_connection((address, port), self._rules.connect_s)
        except OSError as exc:
            raise Unreachable(f"the edge at {host}:{port} cannot be reached: {exc}") from exc
        connection = HTTPConnection(host, port)
        with closing(line), closing(connection):
            line.settimeout(STALL_S)
            connection.sock = self._wrapped(line, host) if scheme == "https" else line
            yield connection

    def _wrapped(self, line: socket.socket, host: str) -> ssl.SSLSocket:
        try:
            with _bounded(line, STALL_S):
                return self._tls().wrap_socket(line, server_hostname=host)
        except (OSError, ValueError) as exc:
            raise Unreachable(f"the edge at {host} does not prove who it is: {exc}") from exc


def _asked(
    connection: HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> Answer:
    try:
        connection.request(method, target, body, {**headers, "Connection": "close"})
        return Answer(connection.getresponse())
    except (OSError, HTTPException, ValueError) as exc:
        raise Unreachable(f"the edge did not answer: {type(exc).__name__}") from exc


@contextmanager
def _bounded(line: socket.socket, seconds: float) -> Iterator[None]:
    """End the connection after *seconds*, however steadily the peer drips."""

    def hang_up() -> None:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
