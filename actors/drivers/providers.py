"""External providers, spoken to by HTTP: one exchange, bounded, with its answer judged.

Rule 1: what repeats bears the same Idempotency-Key, so that a provider does it once.
Rule 2: an answer is judged here by its status, and by its caller for what it says.

Source: deploy/providers/openapi.yaml, which also adapters keep to as far as their peer can.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import requests

from actors.drivers import reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Conflict, Garbled, NotAllowed, Refused, Unreachable
from actors.drivers.outbound import Caller
from actors.drivers.reach import Rules
from config.secrets import Secret

TokenOf = Callable[[], Secret | None]
"""Returns the token as it is now, None where there is none; raises config.secrets' SecretError."""

_PASSES: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Statuses of the client's class that say: again, later."""

_SHORT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A provider: what it is called in words, where it is, and how it is asked for whom.

    *headers*: how its token is presented, by the token; *rules*: those of its URL, if None.
    """

    name: str
    url: str
    token: TokenOf = lambda: None
    headers: Callable[[str], Mapping[str, str]] = lambda token: {"Authorization": f"Bearer {token}"}
    rules: Rules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What every exchange of one errand has in common; *check* raises where it may not go on."""

    key: str
    request_id: str
    deadline: Deadline
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of success, or one that was expected, and the JSON that came with it."""

    status: int
    body: Any


def ask(
    peer: Peer,
    errand: Errand,
    method: str,
    path: str,
    *,
    body: Any = None,
    expected: Collection[int] = (),
) -> Answer:
    """Return the answer of *peer*, of success or with a status that is *expected*.

    Raises DriverError, and config.secrets' SecretError.
    """
    token = peer.token()
    errand.check()
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": errand.key,
        "User-Agent": "sprout",
        "X-Request-Id": errand.request_id,
        **(peer.headers(token.reveal()) if token is not None else {}),
    }
    response = _exchange(peer, errand, method, path, body=body, headers=headers)
    return Answer(response.status_code, _judged(peer, response, expected))


def _exchange(
    peer: Peer, errand: Errand, method: str, path: str, *, body: Any, headers: Mapping[str, str]
) -> requests.Response:
    rules = peer.rules or reach.provider(peer.url)
    caller = Caller(peer.url, rules, errand.deadline, seen=lambda _: None)
    sent = {name: value for name, value in headers.items() if value}
    try:
        return caller.request(method, f"{peer.url}{path}", json=body, headers=sent, verify=True)
    except NotAllowed as exc:
        raise NotAllowed(f"{peer.name}: {exc}") from None
    except (requests.RequestException, OSError) as exc:
        raise Unreachable(f"{peer.name} cannot be asked: {type(exc).__name__}") from exc
    finally:
        caller.close()


_REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "does not accept the token that it is asked with",
        HTTPStatus.FORBIDDEN: "does not let this token do that",
        HTTPStatus.NOT_FOUND: "knows nothing of that, or is at another URL",
    }
)


def _judged(peer: Peer, response: requests.Response, expected: Collection[int]) -> Any:
    status = response.status_code
    if status in expected or 200 <= status < 300:
        return _json(peer, response)
    if status >= 500 or status in _PASSES:
        raise Unreachable(f"{peer.name} answers {status}")
    if status == HTTPStatus.CONFLICT:
        raise Conflict(f"{peer.name} has it otherwise: {_detail(response)}")
    says = _REFUSALS.get(status, f"answers {status}")
    raise Refused(f"{peer.name} {says}: {_detail(response)}".removesuffix(": "))


def _json(peer: Peer, response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except (ValueError, RecursionError) as exc:
        raise Garbled(f"{peer.name} answers what is no JSON") from exc


def _detail(response: requests.Response) -> str:
    """Return what a problem (RFC 9457) or an ordinary error says, cut and without control codes."""
    try:
        told = response.json()
    except (ValueError, RecursionError):
        return ""
    if not isinstance(told, dict):
        return ""
    words = next((told[key] for key in ("detail", "title", "error", "message") if key in told), "")
    text = words if isinstance(words, str) else ""
    return "".join(c if c.isprintable() else " " for c in text)[:_SHORT]
