"""HTTP to the issuer: where it may go, for how long, and how much is read.

Rule 1: a name is resolved once and judged, and the judged address is the one connected to.
Rule 2: no redirect is followed, and no proxy or netrc of the environment is asked.
Rule 3: time and size of an answer are bounded as a whole.
Rule 4: metadata services are never asked; loopback and link-local addresses only where the issuer
        itself is at such an address.
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from config import reach

CONNECT_S: Final = 3.0
TOTAL_S: Final = 10.0
MOST_BYTES: Final = 1 << 20
_READ: Final = 64 * 1024


class NotAllowed(requests.RequestException):
    """Our own rules forbid the call; nothing was sent."""


class _Forbidden(Exception):
    """The same, inside: urllib3 would take an OSError, which NotAllowed is, for the network's."""


def guard(session: requests.Session, issuer: str) -> None:
    """Have *session* speak by the rules above, to where *issuer* leads and may lead."""
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    session.mount("https://", _Adapter(issuer))
    # Where the issuer is reached in clear, which is allowed on this machine alone.
    session.mount("http://", _Adapter(issuer) if issuer.startswith("http://") else _Closed())


class _Closed(HTTPAdapter):
    """Sends nothing."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise NotAllowed("the issuer is spoken to by https:// alone", request=request)


class _Adapter(HTTPAdapter):
    def __init__(self, issuer: str) -> None:
        self._near = _special(urlsplit(issuer).hostname or "")
        self.lines = threading.local()
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self)

    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
        """Return the answer with its body read.  Raises requests.RequestException."""
        how |= {"stream": True, "timeout": (CONNECT_S, TOTAL_S), "proxies": {}}
        request.headers["Connection"] = "close"
        with self._bounded():
            response = super().send(request, **how)
            response._content = _body(response)  # noqa: SLF001 - read once, by our bounds
        if response.is_redirect:
            raise NotAllowed(f"{urlsplit(request.url).hostname!r} redirects", request=request)
        return response

    def address_of(self, host: str, port: int) -> str:
        """Return the judged address of *host*.  Raises _Forbidden, and OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]).partition("%")[0] for info in found]
        for address in addresses:
            if why := reach.fault(address, near=self._near):
                raise _Forbidden(f"{host}: {why}")
        return addresses[0]

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """End the block's connection after TOTAL_S: a peer that drips defeats other timeouts."""
        lines: list[socket.socket] = []
        self.lines.kept = lines
        late = threading.Event()
        timer = threading.Timer(TOTAL_S, _hang_up, (lines, late))
        timer.daemon = True
        timer.start()
        try:
            yield
        except _Forbidden as exc:
            raise NotAllowed(str(exc)) from None
        except requests.RequestException as exc:
            if late.is_set():
                raise requests.ReadTimeout(f"no whole answer in {TOTAL_S} s") from exc
            raise
        finally:
            timer.cancel()
            while lines:
                lines.pop().close()
        if late.is_set():
            raise requests.ReadTimeout(f"no whole answer in {TOTAL_S} s")


def _hang_up(lines: list[socket.socket], late: threading.Event) -> None:
    late.set()
    for line in tuple(lines):
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _special(host: str) -> bool:
    """Whether *host* is at an address that only who is near can mean."""
    with suppress(OSError):
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        return any(reach.fault(str(info[4][0]).partition("%")[0]) for info in found)
    return False


def _body(response: requests.Response) -> bytes:
    body = bytearray()
    try:
        while chunk := response.raw.read1(_READ, decode_content=False):
            body += chunk
            if len(body) > MOST_BYTES:
                raise _Forbidden(f"an answer of over {MOST_BYTES} bytes")
    except (HTTPError, OSError) as exc:
        raise requests.ConnectionError(f"the answer broke off: {exc}") from exc
    finally:
        response.close()
    return bytes(body)


def _pools(adapter: _Adapter) -> Mapping[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, adapter):
                return _kept(super()._new_conn(), adapter)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, adapter):
                return _kept(super()._new_conn(), adapter)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


@contextmanager
def _pinned(connection: Any, adapter: _Adapter) -> Iterator[None]:
    """Have the block connect to the judged address; the name stays for TLS and the Host header."""
    name = connection._dns_host  # noqa: SLF001 - urllib3 has no other hook between name and address
    try:
        connection._dns_host = adapter.address_of(name, connection.port)  # noqa: SLF001 - as above
        yield
    except socket.gaierror as exc:
        raise requests.ConnectionError(f"{name} has no address: {exc.strerror}") from exc
    finally:
        connection._dns_host = name  # noqa: SLF001 - as above


def _kept(line: socket.socket, adapter: _Adapter) -> socket.socket:
    adapter.lines.kept.append(line.dup())
    return line
