"""OAuth 2.0 device authorization grant (RFC 8628), as a public client speaks it.

Rule 1: nothing that an issuer answers is believed before it is judged: it is a stranger's text.
Rule 2: an answer that says nothing new makes the next question later, never sooner.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from config.values import is_loopback
from edge.cli.client import AWAY, STRANGER, Told

if TYPE_CHECKING:
    import requests

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S: Final = 5
MOST_INTERVAL_S: Final = 60
SLOWER_S: Final = 5
MOST_LIFE_S: Final = 1800
MOST_TOKEN: Final = 16 * 1024
MOST_WORDS: Final = 200

ENDED: Final = {
    "access_denied": "the log-in was denied there",
    "expired_token": "nobody entered the code in time",
    "invalid_grant": "the issuer knows of this log-in no more",
    "invalid_client": "the issuer does not know the command line's client",
    "unauthorized_client": "the issuer does not let the command line log people in",
    "invalid_scope": "the issuer does not know what the edge has asked for",
}

Tell = Callable[[str], None]
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer, as its edge and itself describe it."""

    name: str
    client: str
    device_endpoint: str
    token_endpoint: str
    revocation_endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person is to do: enter *code* at *url*, within *life_s* seconds."""

    device_code: str = field(repr=False)
    code: str
    url: str
    direct_url: str
    life_s: int
    interval_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """*until* is by the clock of the wall; None: the issuer did not say."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    until: float | None


class Line:
    """Speaks to one issuer, by the rules of `edge.outbound`."""

    def __init__(self, issuer: str) -> None:
        import requests

        from edge import outbound

        demand_private(issuer, "the issuer")
        self._session = requests.Session()
        outbound.guard(self._session, issuer)

    def get(self, url: str) -> tuple[int, Found]:
        """Return (status, JSON object); an empty one for what is none.  Raises Told."""
        return self._asked("GET", url, {})

    def post(self, url: str, sent: Mapping[str, str]) -> tuple[int, Found]:
        """Return the same, to a form."""
        return self._asked("POST", url, sent)

    def _asked(self, method: str, url: str, sent: Mapping[str, str]) -> tuple[int, Found]:
        import requests

        try:
            answer = self._session.request(
                method, url, data=sent or None, headers={"Accept": "application/json"}
            )
        except (requests.RequestException, OSError, ValueError) as exc:
            host = urlsplit(url).hostname or url
            raise Told(f"cannot reach {host}: {_short(exc)}", status=AWAY) from None
        return answer.status_code, _object(answer)


def discovered(line: Line, name: str, client: str) -> Issuer:
    """Return the issuer *name* (OpenID Connect Discovery 1.0, RFC 8414).  Raises Told."""
    status, found = line.get(f"{name}/.well-known/openid-configuration")
    if status != 200 or found.get("issuer") != name:
        raise Told(f"{name} does not describe itself as the issuer that the edge names")
    if not found.get("device_authorization_endpoint"):
        raise Told(
            f"{name} lets no devices log in", "Its client needs the device flow switched on."
        )
    return Issuer(
        name=name,
        client=client,
        device_endpoint=_endpoint(found, "device_authorization_endpoint"),
        token_endpoint=_endpoint(found, "token_endpoint"),
        revocation_endpoint=(
            _endpoint(found, "revocation_endpoint") if found.get("revocation_endpoint") else ""
        ),
    )


def asked(line: Line, issuer: Issuer, scopes: str) -> Asked:
    """Begin: return what a person is to do (RFC 8628, section 3.2).  Raises Told."""
    sent = {"client_id": issuer.client, "scope": scopes}
    status, found = line.post(issuer.device_endpoint, sent)
    if status != 200:
        raise refused(found)
    url = _text(found, "verification_uri")
    demand_private(url, "where the code is entered")
    direct = found.get("verification_uri_complete")
    return Asked(
        device_code=_text(found, "device_code"),
        code=_text(found, "user_code"),
        url=url,
        direct_url=direct if isinstance(direct, str) and _is_private(direct) else "",
        life_s=_seconds(found.get("expires_in"), MOST_LIFE_S, MOST_LIFE_S),
        interval_s=_seconds(found.get("interval"), INTERVAL_S, MOST_INTERVAL_S),
    )


def waited(
    line: Line,
    issuer: Issuer,
    todo: Asked,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Tokens:
    """Return the tokens once the person has done it (RFC 8628, section 3.4).  Raises Told."""
    sent = {"client_id": issuer.client, "grant_type": GRANT, "device_code": todo.device_code}
    until, interval = clock() + todo.life_s, float(todo.interval_s)
    while clock() + interval < until:
        sleep(interval)
        try:
            status, found = line.post(issuer.token_endpoint, sent)
        except Told:
            status, found = 503, {}
        if status == 200:
            return granted(found)
        interval = _next(status, found, interval)
    raise Told(ENDED["expired_token"], "Try again: sprout login", status=STRANGER)


def _next(status: int, found: Found, interval: float) -> float:
    """Return how long to wait before asking again.  Raises Told when there is no use."""
    if status >= 500 or status == 429:
        return min(interval * 2, MOST_INTERVAL_S)  # Section 3.5: back off, the network is bad.
    match found.get("error"):
        case "authorization_pending":
            return interval
        case "slow_down":
            return min(interval + SLOWER_S, MOST_INTERVAL_S)
    raise refused(found)


def refreshed(line: Line, issuer: Issuer, refresh: str) -> Tokens:
    """Return new tokens for a refresh token (RFC 6749, section 6).  Raises Told."""
    sent = {"client_id": issuer.client, "grant_type": "refresh_token", "refresh_token": refresh}
    status, found = line.post(issuer.token_endpoint, sent)
    if status >= 500:
        raise Told(f"{issuer.name} cannot answer now (HTTP {status})", status=AWAY)
    if status != 200:
        raise refused(found)
    made = granted(found)
    # One that is not replaced stays good.
    return made if made.refresh else Tokens(access=made.access, refresh=refresh, until=made.until)


def revoked(line: Line, issuer: Issuer, token: str) -> bool:
    """Whether the issuer has taken *token* back (RFC 7009)."""
    try:
        status, _ = line.post(
            issuer.revocation_endpoint, {"client_id": issuer.client, "token": token}
        )
    except Told:
        return False
    return status == 200


def granted(found: Found) -> Tokens:
    """Return the tokens of an answer that says it has some.  Raises Told."""
    if str(found.get("token_type", "")).lower() != "bearer":
        raise Told("the issuer grants a token of a kind that is not known here")
    refresh = found.get("refresh_token")
    life = found.get("expires_in")
    return Tokens(
        access=_token(found.get("access_token")),
        refresh="" if refresh is None else _token(refresh),
        until=None if life is None else time.time() + _seconds(life, 0, 365 * 86_400),
    )


def refused(found: Found) -> Told:
    """Return what is told of a refusal; an issuer's own words are quoted in part."""
    code = str(found.get("error", "it says nothing that makes sense"))[:MOST_WORDS]
    words = found.get("error_description")
    said = f"The issuer says: {words[:MOST_WORDS]}" if isinstance(words, str) else ""
    why = ENDED.get(code, f"the issuer refused: {code}")
    return Told(why, said, "Try again: sprout login", status=STRANGER)


def demand_private(url: str, what: str) -> None:
    """Raise Told unless what is sent to *url* is read by nobody on the way."""
    if not _is_private(url):
        raise Told(f"{what} is at {url[:MOST_WORDS]}, which is no https:// URL")


def _is_private(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.username is None and url.isprintable()
    except ValueError:
        return False
    return named and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)))


def _endpoint(found: Found, name: str) -> str:
    url = _text(found, name)
    demand_private(url, f"its {name}")
    return url


def _text(found: Found, name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TOKEN:
        raise Told(f"the issuer's answer has no {name}")
    return value


def _token(value: Any) -> str:
    """Return *value* if it can stand in a header (RFC 6750, section 2.1).  Raises Told."""
    good = isinstance(value, str) and 0 < len(value) <= MOST_TOKEN
    if not good or not (value.isascii() and value.isprintable() and " " not in value):
        raise Told("the issuer grants something that is no token")
    return str(value)


def _seconds(value: Any, otherwise: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return otherwise
    return int(min(max(value, 1), most))


def _object(answer: "requests.Response") -> Found:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(exc: Exception) -> str:
    return str(exc)[:MOST_WORDS] or type(exc).__name__
