"""One exchange of HTTP in which much may go up or come down: piece by piece, each step bounded.

Rule 1: a name is resolved once and judged, and the judged address is the one connected to.
Rule 2: connecting, the answer's head, and the pause between two reads have their bounds each.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from typing import Final
from urllib.parse import urlsplit

from actors.drivers.errors import Unreachable
from actors.drivers.outbound import address_of
from actors.drivers.reach import Rules, origin

STALL_S: Final = 30.0
"""How long a peer may send nothing, or take nothing."""

HEAD_S: Final = 90.0
"""How long a peer may take to begin its answer: it may have to read a large file first."""

_READ: Final = 1024 * 1024
_MOST_TEXT: Final = 64 * 1024

Tls = Callable[[], ssl.SSLContext]
"""Makes the context of a connection, so that renewed certificates are taken without a restart."""


def believing(rules: Rules) -> Tls:
    """Return what makes contexts that believe the system's authorities and those of *rules*."""

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context()
        if rules.ca_file is not None:
            made.load_verify_locations(cafile=rules.ca_file)
        return made

    return context


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is spoken to: *name* is what sentences call it."""

    name: str
    rules: Rules
    tls: Tls

    def at(self, host: str) -> str:
        """Return what it is called, and that it is at *host*."""
        return host if self.name == host else f"{self.name} at {host}"


class Answer:
    """What *peer* answers; its body is read piece by piece."""

    def __init__(self, response: HTTPResponse, peer: str) -> None:
        self.status = response.status
        self.headers: HTTPMessage = response.headers
        self.peer = peer
        self._response = response
        self._ahead = True
        """Whether there may be more in memory: what came with the head."""

    @property
    def length(self) -> int | None:
        """Bytes of the body, or None where the peer does not say."""
        return self._response.length

    @property
    def leads_to(self) -> str | None:
        """Where the answer sends its caller, None for nowhere else."""
        return self.headers.get("Location") if 300 <= self.status < 400 else None

    def read(self) -> bytes:
        """Return what has come, at most 1 MiB; b"" at the end.  Raises Unreachable."""
        return self._some(_READ)

    def read_into(self, room: memoryview) -> int:
        """Put what has come into *room*; return how many bytes, 0 at the end.  Raises Unreachable.

        It waits for something to come, and not until *room* is full.
        """
        if self._ahead or not self._response.length or self._response.isclosed():
            piece = self._some(most := min(_READ, len(room)))
            self._ahead = len(piece) == most
            room[: len(piece)] = piece
            return len(piece)
        with self._broken_off():
            came = self._response.fp.raw.readinto(room[: self._response.length]) or 0
        self._response.length -= came
        return came

    def _some(self, most: int) -> bytes:
        with self._broken_off():
            return self._response.read1(most)

    def text(self) -> str:
        """Return the beginning of a short body, such as a problem's.  Raises Unreachable."""
        with self._broken_off():
            return self._response.read(_MOST_TEXT).decode(errors="replace")

    @contextmanager
    def _broken_off(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException, ValueError) as exc:
            raise Unreachable(f"the answer of {self.peer} broke off") from exc


@contextmanager
def exchange(
    peer: Peer,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    whole_s: float | None = None,
) -> Iterator[Answer]:
    """Send a request for *url*, which is whole; the answer is for the block, also a redirection.

    *whole_s* bounds all of it, once it is connected, however steadily the peer drips.  Raises
    NotAllowed and Unreachable; neither repeats the path or the query.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(peer, url) as connection, _whole(connection.sock, whole_s):
        with _bounded(connection.sock, HEAD_S), _answering(peer):
            connection.request(method, target, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
        with closing(response):  # it has the line open beside us
            yield Answer(response, peer.name)


@contextmanager
def _connected(peer: Peer, url: str) -> Iterator[HTTPConnection]:
    scheme, host, port = origin(url)
    try:
        address = address_of(peer.rules, host, port)
        line = socket.create_connection((address, port), peer.rules.connect_s)
    except OSError as exc:
        raise Unreachable(f"{peer.at(host)}, port {port}, cannot be reached: {exc}") from exc
    connection = HTTPConnection(host, port)
    with closing(line), closing(connection):
        line.settimeout(STALL_S)
        connection.sock = _wrapped(peer, line, host) if scheme == "https" else line
        yield connection


def _wrapped(peer: Peer, line: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        with _bounded(line, STALL_S):
            return peer.tls().wrap_socket(line, server_hostname=host)
    except (OSError, ValueError) as exc:
        raise Unreachable(f"{peer.at(host)} does not prove who it is: {exc}") from exc


@contextmanager
def _answering(peer: Peer) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, ValueError) as exc:
        raise Unreachable(f"{peer.name} did not answer: {type(exc).__name__}") from exc


def _whole(line: socket.socket, seconds: float | None) -> AbstractContextManager[None]:
    return nullcontext() if seconds is None else _bounded(line, seconds)


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
