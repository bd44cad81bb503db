"""HTTP to places that an operator typed: where it may go is decided by its purpose.

Rule 1: a name is resolved once and judged, and the judged address is the one connected to.
Rule 2: a caller speaks to one host; neither a redirect nor a link in an answer leads elsewhere.
Rule 3: time and size of an answer are bounded as a whole; metadata services are never asked.
"""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotAllowed
from actors.drivers.reach import SCHEMES, Rules, origin

MOST_REDIRECTS: Final = 3
_READ: Final = 64 * 1024


class Call(NamedTuple):
    """One exchange that was tried: *at* since the epoch, *status* 0 where no answer came."""

    method: str
    path: str
    status: int
    at: float
    seconds: float


class Caller:
    """Speaks HTTP to the host of *base*, by *rules*, until *deadline*.

    Tells *seen* of every exchange.  One connection each: some BMCs choke on long-lived ones.
    """

    def __init__(
        self, base: str, rules: Rules, deadline: Deadline, *, seen: Callable[[Call], None]
    ) -> None:
        self._base = origin(base)
        self._rules = rules
        self._deadline = deadline
        self._seen = seen
        self._lines: list[socket.socket] = []
        self.session = requests.Session()
        self.session.trust_env = False  # no proxies, no netrc
        self.session.headers["Connection"] = "close"
        for scheme in SCHEMES:
            self.session.mount(f"{scheme}://", _Adapter(self))

    def request(
        self, method: str, url: str, *, json: Any, headers: Mapping[str, str], verify: bool
    ) -> requests.Response:
        """Return the answer with its body read.

        Raises NotAllowed, and requests.RequestException for all that the network does.
        """
        for _ in range(MOST_REDIRECTS + 1):
            self._same_host(url)
            response = self._exchange(method, url, json=json, headers=headers, verify=verify)
            target = _redirection(response)
            if target is None:
                return response
            if method not in {"GET", "HEAD"} and response.status_code not in {307, 308}:
                raise NotAllowed(f"{method} {url}: redirected as if it were a read")
            url = urljoin(url, target)
        raise requests.TooManyRedirects(f"{url}: over {MOST_REDIRECTS} redirects")

    def grant(self, seconds: float) -> None:
        """Allow *seconds* from now, for what must be tidied up when the time is over."""
        self._deadline = Deadline.after(seconds)

    def close(self) -> None:
        """Drop the connections."""
        self.session.close()

    def address_of(self, host: str, port: int) -> str:
        """Return the address to connect to: resolved, and judged.  Raises NotAllowed, OSError."""
        return address_of(self._rules, host, port)

    def connected(self, line: socket.socket) -> None:
        """Keep a handle of *line*, by which the watchdog can end it."""
        self._lines.append(line.dup())

    def _exchange(self, method: str, url: str, **how: Any) -> requests.Response:
        seconds = min(self._rules.total_s, self._deadline.left)
        if seconds <= 0:
            raise requests.Timeout("no time is left")
        began, at, status = time.monotonic(), time.time(), 0
        try:
            with self._bounded(seconds):
                response = self.session.request(
                    method,
                    url,
                    timeout=(min(self._rules.connect_s, seconds), seconds),
                    allow_redirects=False,
                    stream=True,
                    **how,
                )
                response._content = self._body(response)  # noqa: SLF001 - read once, by our bounds
            status = response.status_code
            return response
        finally:
            self.session.close()  # not kept: many a server closes what it did not say it would
            path = urlsplit(url).path
            self._seen(Call(method, path, status, at, time.monotonic() - began))

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        try:
            while chunk := response.raw.read1(_READ, decode_content=False):
                body += chunk
                if len(body) > self._rules.most_bytes:
                    raise NotAllowed(f"an answer of over {self._rules.most_bytes} bytes")
        except (HTTPError, OSError) as exc:
            raise requests.ConnectionError(f"the answer broke off: {exc}") from exc
        finally:
            response.close()
        return self._unpacked(bytes(body), response.headers.get("Content-Encoding", "identity"))

    def _unpacked(self, body: bytes, encoding: str) -> bytes:
        if not body or encoding == "identity":
            return body
        if encoding != "gzip":
            raise requests.exceptions.ContentDecodingError(f"encoding {encoding!r}")
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain = unpacker.decompress(body, self._rules.most_bytes)
        except zlib.error as exc:
            raise requests.exceptions.ContentDecodingError(str(exc)) from exc
        if unpacker.unconsumed_tail:
            raise NotAllowed(f"an answer of over {self._rules.most_bytes} bytes")
        return plain

    @contextmanager
    def _bounded(self, seconds: float) -> Iterator[None]:
        """End the block's connection after *seconds*: a peer that drips defeats other timeouts."""
        late = threading.Event()
        timer = threading.Timer(seconds, self._hang_up, (late,))
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
            while self._lines:
                self._lines.pop().close()
        if late.is_set():
            raise requests.ReadTimeout(f"no whole answer in {seconds:.1f} s")

    def _hang_up(self, late: threading.Event) -> None:
        late.set()
        for line in tuple(self._lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _same_host(self, url: str) -> None:
        there = origin(url)
        if there.host != self._base.host:
            raise NotAllowed(f"{self._base.host} leads to another host, {there.host}")
        if there != self._base and (self._base.scheme, there.scheme) != ("http", "https"):
            raise NotAllowed(f"{self._base.host} leads to another service, port {there.port}")


class _Adapter(HTTPAdapter):
    """Makes connections whose address the caller has judged."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._caller)


def _pools(caller: Caller) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, caller):
                return _kept(super()._new_conn(), caller)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            with _pinned(self, caller):
                return _kept(super()._new_conn(), caller)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


@contextmanager
def _pinned(connection: Any, caller: Caller) -> Iterator[None]:
    """Have the block connect to the judged address; the name stays for TLS and the Host header."""
    name = connection._dns_host  # noqa: SLF001 - urllib3 has no other hook between name and address
    try:
        connection._dns_host = caller.address_of(name, connection.port)  # noqa: SLF001 - as above
        yield
    except socket.gaierror as exc:
        raise requests.ConnectionError(f"{name} has no address: {exc.strerror}") from exc
    finally:
        connection._dns_host = name  # noqa: SLF001 - as above


def _kept(line: socket.socket, caller: Caller) -> socket.socket:
    caller.connected(line)
    return line


def address_of(rules: Rules, host: str, port: int) -> str:
    """Return the address of *host* to connect to, every one of which *rules* allow.

    Raises NotAllowed, and OSError for a name without an address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        rules.judge(ip_address(address.partition("%")[0]))
    return addresses[0]


def _redirection(response: requests.Response) -> str | None:
    return response.headers.get("Location") if response.is_redirect else None


def joined(base: str, path: str) -> str:
    """Return the URL of *path*, which may be absolute, seen from *base*."""
    return urljoin(f"{base}/", path)
