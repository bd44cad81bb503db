"""Connections of `requests` to judged addresses alone, ended when their time is over.

Both modules that speak HTTP to where an operator's words lead stand on this: a name is resolved
once and judged, and the judged address is the one connected to, while the name stays for TLS and
the Host header; a peer that drips, which defeats every other timeout, is hung up on.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import requests
from requests.adapters import DEFAULT_POOLSIZE, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

_READ: Final = 64 * 1024

AddressOf = Callable[[str, int], str]
"""Resolves (host, port) to the address to connect to; raises OSError, and what forbids it."""


class TooLarge(Exception):
    """An answer of more bytes than are taken.  No OSError: urllib3 would take it for its own."""


class Watch:
    """Ends what is connected in a block once its time is over.  One block for each thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Hang up after *seconds*.  Raises requests.ReadTimeout when it came to that."""
        lines: list[socket.socket] = []
        late = threading.Event()
        self._of_thread.block = lines, late
        timer = threading.Timer(seconds, _hang_up, (lines, late))
        timer.daemon = True
        timer.start()
        try:
            yield
        except requests.RequestException as exc:
            if late.is_set():
                raise requests.ReadTimeout(f"no whole answer in {seconds:.1f} s") from exc
            raise
        finally:
            timer.cancel()
            while lines:
                lines.pop().close()
        if late.is_set():
            raise requests.ReadTimeout(f"no whole answer in {seconds:.1f} s")

    @property
    def over(self) -> threading.Event:
        """Set once the time of this thread's block is over."""
        late: threading.Event = self._of_thread.block[1]
        return late

    def keep(self, line: socket.socket) -> None:
        """Take a handle of *line*, by which it can be ended; at once, when it came too late."""
        lines, late = self._of_thread.block
        lines.append(line.dup())
        if late.is_set():
            _hang_up(lines, late)


class PinnedAdapter(HTTPAdapter):
    """Connects to what *address_of* says, within a block of *watch*."""

    def __init__(
        self, address_of: AddressOf, watch: Watch, *, lines: int = DEFAULT_POOLSIZE
    ) -> None:
        self._pinning = address_of, watch
        super().__init__(pool_connections=lines, pool_maxsize=lines)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(*self._pinning)


def body_of(response: requests.Response, most_bytes: int) -> bytes:
    """Return the body as it came, and close *response*.  Raises TooLarge, ConnectionError."""
    body = bytearray()
    try:
        while chunk := response.raw.read1(_READ, decode_content=False):
            body += chunk
            if len(body) > most_bytes:
                raise TooLarge(f"an answer of over {most_bytes} bytes")
    except (HTTPError, OSError) as exc:
        raise requests.ConnectionError(f"the answer broke off: {exc}") from exc
    finally:
        response.close()
    return bytes(body)


def _hang_up(lines: list[socket.socket], late: threading.Event) -> None:
    late.set()
    for line in tuple(lines):
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _pools(address_of: AddressOf, watch: Watch) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, address_of):
                line = super()._new_conn()
            watch.keep(line)
            return line

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, address_of):
                line = super()._new_conn()
            watch.keep(line)
            return line

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


@contextmanager
def _pinned(connection: Any, address_of: AddressOf) -> Iterator[None]:
    name = connection._dns_host  # noqa: SLF001 - urllib3 has no other hook between name and address
    try:
        connection._dns_host = address_of(name, connection.port)  # noqa: SLF001 - as above
        yield
    except socket.gaierror as exc:
        raise requests.ConnectionError(f"{name} has no address: {exc.strerror}") from exc
    finally:
        connection._dns_host = name  # noqa: SLF001 - as above
