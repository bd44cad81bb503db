"""HTTP to the issuer: where it may go, for how long, and how much is read.

Rule 1: a name is resolved once and judged, and the judged address is the one connected to.
Rule 2: no redirect is followed, and no proxy or netrc of the environment is asked.
Rule 3: time and size of an answer are bounded as a whole.
Rule 4: metadata services are never asked; loopback and link-local addresses only where the issuer
        itself is at such an address.
"""

import socket
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from config import reach
from config.pinned import PinnedAdapter, TooLarge, Watch, body_of

CONNECT_S: Final = 3.0
TOTAL_S: Final = 10.0
MOST_BYTES: Final = 1 << 20


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


class _Adapter(PinnedAdapter):
    def __init__(self, issuer: str) -> None:
        self._near = _special(urlsplit(issuer).hostname or "")
        self._watch = Watch()
        super().__init__(self._address_of, self._watch, lines=1)

    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
        """Return the answer with its body read.  Raises requests.RequestException."""
        how |= {"stream": True, "timeout": (CONNECT_S, TOTAL_S), "proxies": {}}
        request.headers["Connection"] = "close"
        try:
            with self._watch.bounded(TOTAL_S):
                response = super().send(request, **how)
                response._content = body_of(response, MOST_BYTES)  # noqa: SLF001 - by our bounds
        except (_Forbidden, TooLarge) as exc:
            raise NotAllowed(str(exc)) from None
        if response.is_redirect:
            raise NotAllowed(f"{urlsplit(request.url).hostname!r} redirects", request=request)
        return response

    def _address_of(self, host: str, port: int) -> str:
        """Return the judged address of *host*.  Raises _Forbidden, and OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]).partition("%")[0] for info in found]
        for address in addresses:
            if why := reach.fault(address, near=self._near):
                raise _Forbidden(f"{host}: {why}")
        return addresses[0]


def _special(host: str) -> bool:
    """Whether *host* is at an address that only who is near can mean."""
    with suppress(OSError):
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        return any(reach.fault(str(info[4][0]).partition("%")[0]) for info in found)
    return False
