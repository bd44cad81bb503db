"""HTTP to places that an operator typed: where it may go is decided by its purpose.

Rule 1: a name is resolved once and judged, and the judged address is the one connected to.
Rule 2: a caller speaks to one host; neither a redirect nor a link in an answer leads elsewhere.
Rule 3: time and size of an answer are bounded as a whole; metadata services are never asked.
"""

import socket
import time
import zlib
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotAllowed
from actors.drivers.reach import SCHEMES, Rules, origin
from config.pinned import PinnedAdapter, TooLarge, Watch, body_of

MOST_REDIRECTS: Final = 3


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
        self._watch = Watch()
        self.session = requests.Session()
        self.session.trust_env = False  # no proxies, no netrc
        self.session.headers["Connection"] = "close"
        for scheme in SCHEMES:
            self.session.mount(f"{scheme}://", PinnedAdapter(self._address_of, self._watch))

    def request(
        self, method: str, url: str, *, json: Any, headers: Mapping[str, str], verify: bool | str
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

    def _address_of(self, host: str, port: int) -> str:
        return address_of(self._rules, host, port)

    def _trusted(self, verify: bool | str) -> bool | str:  # noqa: FBT001 - as requests has it
        file = self._rules.ca_file
        if verify is not True or file is None:
            return verify
        if not file.is_file():  # requests would raise what is no error of its own
            raise requests.exceptions.SSLError(f"{file} is not there any more")
        return str(file)

    def _exchange(
        self, method: str, url: str, *, verify: bool | str, **how: Any
    ) -> requests.Response:
        seconds = min(self._rules.total_s, self._deadline.left)
        if seconds <= 0:
            raise requests.Timeout("no time is left")
        began, at, status = time.monotonic(), time.time(), 0
        try:
            with self._watch.bounded(seconds):
                response = self.session.request(
                    method,
                    url,
                    timeout=(min(self._rules.connect_s, seconds), seconds),
                    allow_redirects=False,
                    stream=True,
                    verify=self._trusted(verify),
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
        try:
            body = body_of(response, self._rules.most_bytes)
        except TooLarge as exc:
            raise NotAllowed(str(exc)) from None
        return self._unpacked(body, response.headers.get("Content-Encoding", "identity"))

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

    def _same_host(self, url: str) -> None:
        there = origin(url)
        if there.host != self._base.host:
            raise NotAllowed(f"{self._base.host} leads to another host, {there.host}")
        if there != self._base and (self._base.scheme, there.scheme) != ("http", "https"):
            raise NotAllowed(f"{self._base.host} leads to another service, port {there.port}")


def address_of(rules: Rules, host: str, port: int) -> str:
    """Return the address of *host* to connect to, every one of which *rules* allow.

    Raises NotAllowed, and OSError for a name without an address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        rules.judge(ip_address(address.partition("%")[0]), host)
    return addresses[0]


def _redirection(response: requests.Response) -> str | None:
    return response.headers.get("Location") if response.is_redirect else None


def joined(base: str, path: str) -> str:
    """Return the URL of *path*, which may be absolute, seen from *base*."""
    return urljoin(f"{base}/", path)
