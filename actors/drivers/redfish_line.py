"""One login at one BMC, over sushy: what is sent, how often, and what errors mean.

Rule 1: sushy neither retries nor waits: one call is one exchange.  A write is repeated only where
the BMC said that it did not begin it: the session had ended (401), or the ETag was old (412, 428).
Rule 2: whatever a BMC answers, only errors of `actors.drivers.errors` come out of `translated`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
from sushy import auth, connector
from sushy import exceptions as upstream

from actors.drivers import outbound
from actors.drivers.errors import DriverError, Garbled, Refused, Unreachable
from actors.drivers.redfish_sessions import Session
from actors.drivers.systems import Target

_BUSY_PAUSES_S: Final = (0.5, 1.0, 2.0)
_LONGEST_PAUSE_S: Final = 5.0
_WRITES: Final = frozenset({"POST", "PATCH", "PUT"})
"""What may change the machine; ending a session (DELETE) does not."""

Permit = Callable[[str, str], None]
"""Takes method and path of a write that is about to be sent, or raises a DriverError."""

_BUSY: Final = frozenset({429, 503})
_STALE: Final = frozenset(
    {requests.codes.precondition_failed, requests.codes.precondition_required}
)

# Searched from the top, so the parent of all comes last.
_OURS: Final[tuple[tuple[type[Exception], type[DriverError]], ...]] = (
    (upstream.AccessError, Refused),
    (upstream.BadRequestError, Refused),
    (upstream.ServerSideError, Unreachable),
    (upstream.ConnectionError, Unreachable),
    (upstream.MissingAttributeError, Garbled),
    (upstream.MalformedAttributeError, Garbled),
    (upstream.MissingHeaderError, Garbled),
    (upstream.MissingXAuthToken, Garbled),
    (upstream.SushyError, Refused),
)
_PASSING: Final = frozenset({408, *_BUSY})
# What sushy, which checks little, does with an answer that is not what it expects.
_NONSENSE: Final = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

# It writes whole answers of BMCs to its log, whatever they are; what is wrong is in our errors.
logging.getLogger("sushy").setLevel(logging.CRITICAL)


@contextmanager
def translated(target: Target) -> Iterator[None]:
    """Turn sushy's errors into ours, keeping the original as the cause."""
    try:
        yield
    except upstream.SushyError as exc:
        ours = next(ours for theirs, ours in _OURS if isinstance(exc, theirs))
        passing = getattr(exc, "status_code", None) in _PASSING
        raise (Unreachable if passing else ours)(target.clean(f"{target.address}: {exc}")) from exc
    except requests.exceptions.SSLError as exc:
        raise Refused(target.clean(f"{target.address}: its TLS is not accepted: {exc}")) from exc
    except requests.RequestException as exc:
        raise Unreachable(target.clean(f"{target.address}: {exc}")) from exc
    except _NONSENSE as exc:
        raise Garbled(
            target.clean(f"{target.address}: its answer makes no sense: {exc!r}")
        ) from exc


class Line(connector.Connector):  # type: ignore[misc] # sushy has no types
    """sushy's connector, with the exchange itself done by the guarded caller."""

    def __init__(
        self,
        base: str,
        caller: outbound.Caller,
        *,
        verify: bool,
        pause: Callable[[float], object],
        permit: Permit,
    ) -> None:
        super().__init__(base, verify=verify)
        self._permit = permit
        self._session = caller.session  # where sushy puts tokens and passwords
        self._caller = caller
        self._wait = pause
        self._at_hand: dict[str, requests.Response] = {}

    def expect(self, path: str, answer: requests.Response) -> None:
        """Have the next reading of *path* be *answer*, which came a moment ago."""
        self._at_hand = {path: answer}

    def _op(  # noqa: PLR0917 - sushy's own signature
        self,
        method: str,
        path: str = "",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        blocking: bool = False,  # noqa: FBT001, FBT002 - as above
        timeout: float | None = None,
        **_ignored: Any,
    ) -> requests.Response:
        if method == "GET" and (known := self._at_hand.pop(path, None)) is not None:
            return known
        try:
            return self._asked(method, path, data, headers)
        except upstream.AccessError as exc:
            expired = exc.status_code == requests.codes.unauthorized and method != "DELETE"
            if not (expired and self._auth and self._auth.can_refresh_session()):
                raise
        self._auth.refresh_session()
        return self._asked(method, path, data, headers)

    def patch(
        self,
        path: str = "",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        **_ignored: Any,
    ) -> requests.Response:
        """Change *path* if it is still what *etag* was read of; else read anew, and try once more.

        sushy would leave the condition out, whatever had changed.
        """
        try:
            return self._op("PATCH", path, data, _conditional(headers, etag))
        except upstream.HTTPError as exc:
            now = self._tag(path) if exc.status_code in _STALE else None
            if now is None:
                raise
        again = next_tag(etag, now)
        return self._op("PATCH", path, data, _conditional(headers, again))

    def _tag(self, path: str) -> str | None:
        response = self._op("GET", path)
        tag = response.headers.get("ETag") or response.json().get("@odata.etag")
        return tag if isinstance(tag, str) else None

    def _asked(
        self, method: str, path: str, data: Any, headers: Mapping[str, str] | None
    ) -> requests.Response:
        """Do one exchange; only a read is tried again, and only while the BMC says it is busy."""
        url = outbound.joined(self._url, path)
        sent = {"OData-Version": "4.0", "Accept-Encoding": "identity", **(headers or {})}
        if method in _WRITES and "/sessions" not in url.lower():
            self._permit(method, url)
        pauses = iter(_BUSY_PAUSES_S if method == "GET" else ())
        while True:
            response = self._caller.request(
                method, url, json=data, headers=sent, verify=self._verify
            )
            pause = next(pauses, None) if response.status_code in _BUSY else None
            if pause is None:
                upstream.raise_for_response(method, url, response)
                return response
            self._wait(_retry_after(response, pause))


class Login(auth.SessionAuth):  # type: ignore[misc] # sushy has no types
    """A session where the BMC has sessions, else Basic; a wrong password is sent once only.

    sushy would send it again as Basic, and locks accounts of BMCs that count.  *kept* is a session
    that an earlier task left: used without a word, and begun anew where the BMC has ended it.
    """

    def __init__(self, target: Target, kept: Session | None = None) -> None:
        super().__init__(target.username, target.password.reveal())
        self._kept = kept
        self._session_key: str | None = None
        self._session_resource_id: str | None = None

    def left(self) -> tuple[str, str] | None:
        """Return token and path of the session that is open, if one is; it is no longer ours."""
        token, path = self._session_key, self._session_resource_id
        self._session_key = self._session_resource_id = None
        return None if token is None or path is None else (token, path)

    def _do_authenticate(self) -> None:
        if not self._username:
            return
        kept, self._kept = self._kept, None
        if kept is not None:
            self._session_key, self._session_resource_id = kept.token.reveal(), kept.path
            self._connector.set_http_session_auth(self._session_key)
            return
        document = self._root_resource.json
        if "SessionService" in document or "Sessions" in (document.get("Links") or {}):
            try:
                super()._do_authenticate()
            except (upstream.ResourceNotFoundError, upstream.MissingXAuthToken):
                pass  # announced, and not there
            else:
                return
        self._connector.set_http_basic_auth(self._username, self._password)


def log_out(root: Any) -> None:
    with suppress(upstream.SushyError, requests.RequestException, DriverError):
        root._auth.close()  # noqa: SLF001 - sushy logs out only when it is collected
    root._auth = None  # noqa: SLF001 - as above


def next_tag(sent: str | None, now: str) -> str | None:
    """Return the tag for the second try, where *sent* was refused and *now* is read; None: without.

    A tag that did not change was refused in error: weak ones by the letter of RFC 9110 §13.1.1,
    which BMCs that send them must not take, and strong ones by BMCs that cannot compare.
    """
    if now != sent:
        return now
    return now.removeprefix("W/") if now.startswith("W/") else None


def _conditional(headers: Mapping[str, str] | None, tag: str | None) -> dict[str, str]:
    return {**(headers or {}), **({"If-Match": tag} if tag else {})}


def _retry_after(response: requests.Response, otherwise: float) -> float:
    """Return the seconds that the answer asks for (RFC 9110 §10.2.3), bounded."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return min(float(text), _LONGEST_PAUSE_S)
    try:
        wanted = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return otherwise
    return min(max(wanted, 0.0), _LONGEST_PAUSE_S)
