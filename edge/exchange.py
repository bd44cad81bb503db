"""What every request and every answer bears: an id, a Host that is ours, security headers, a line.

The id comes in by X-Request-Id where it is well formed, is made here otherwise, and goes into the
answer, each log line, each message and each audit row.
"""

import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final
from uuid import uuid4

import structlog
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from edge.errors import WrongHost
from models import names

log = structlog.get_logger()

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""On every answer."""

_QUIET: Final = frozenset({"health.live", "health.ready", "prometheus_metrics", "static"})
"""Endpoints that machines ask all day: their log line is for debugging."""


def install(app: Flask, allowed_hosts: frozenset[str]) -> None:
    """Have every exchange of *app* begin and end here; first of all, so that refusals are too."""
    app.before_request(_begun)
    app.before_request(partial(_checked_host, allowed_hosts))
    app.after_request(_ended)


def request_id() -> str:
    """Return the id of the current request."""
    if "request_id" not in g:
        g.request_id = known_id(request.headers.get("X-Request-Id", ""))
    return str(g.request_id)


def known_id(given: str) -> str:
    """Return *given* if it is well formed, else a new id."""
    return given if names.REQUEST_ID.fullmatch(given) else uuid4().hex


def _begun() -> None:
    g.begun = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())


def _checked_host(allowed: frozenset[str]) -> None:
    """Refuse names that are not ours: a page elsewhere may have its name point to us."""
    name = host_name(request.headers.get("Host", ""))
    if name not in allowed:
        raise WrongHost("the Host header is not one of SPROUT_ALLOWED_HOSTS")


def host_name(host: str) -> str:
    """Return *host* without its port, in lower case; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()


def stamped(response: Response) -> None:
    """Give *response* the headers that every answer bears."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request_id()
    if request.method == "OPTIONS" and request.url_rule is not None:
        response.headers["Allow"] = ", ".join(_methods_here())
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")


def _ended(response: Response) -> Response:
    stamped(response)
    say = log.debug if request.endpoint in _QUIET else log.info
    say(
        "edge.answered",
        method=request.method,
        # The rule, not the URL: query strings may bear codes.
        rule=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        ms=round((time.monotonic() - g.get("begun", time.monotonic())) * 1000, 1),
    )
    return response


def _methods_here() -> list[str]:
    """Return the methods of the current URL's own rule.

    Not those of a rule with parts, which would take `/v1/machines/allocate` for a machine.
    """
    here = str(request.url_rule)
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.rule == here]
    return sorted({method for rule in rules for method in rule.methods or ()})


def methods_of(exc: HTTPException) -> dict[str, str]:
    """Return the headers that *exc* wants in its answer, such as Allow."""
    kept = {"Allow", "Retry-After", "WWW-Authenticate", "Content-Range"}
    return {name: value for name, value in exc.get_headers() if name in kept}
