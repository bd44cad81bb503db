"""Who asks: the admin's bearer token, or a browser that signed in.  Nobody else gets anywhere.

Deny by default: every route wants an operator but those that OPEN names, and those of BY_RIGHT
where a right stands in the URL.  Without a token hash in the settings there is no operator, and
every other route refuses.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import Final
from uuid import UUID

from flask import Flask, current_app, g, request, session
from flask.typing import ResponseReturnValue

from edge.errors import Forged, Unauthenticated
from edge.exchange import request_id
from models import blobs, whereabouts
from models.audit import Caller
from models.commands import tokens
from models.database import borrowed
from models.roles import Grant, Role

OPEN: Final = frozenset(
    {"health.live", "health.ready", "problems.show", "sign_in.ask", "sign_in.redeem", "static"}
)
"""Endpoints that anybody may ask."""

BY_RIGHT: Final = frozenset({"blobs.show", "blobs.put"})
"""Endpoints that judge by themselves a right that stands in the URL."""

METRICS: Final = "prometheus_metrics"
"""Open to loopback only, since a scraper has no token."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_LIFE: Final = timedelta(hours=12)
NOBODY: Final = "anonymous"
ADMIN: Final = "admin"
EVERYTHING: Final = (Grant(Role.ADMIN),)
"""What the admin's token and the one-time code stand for."""


class Way(StrEnum):
    """How somebody proved who he is."""

    NONE = "none"
    ADMIN_TOKEN = "admin-token"  # noqa: S105 - a word, no token
    API_TOKEN = "api-token"  # noqa: S105 - the same
    ISSUER = "issuer"
    SESSION = "session"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Operator:
    """A person or program that proved itself.

    *subject* is who it is even when *name* is shared; *grants* name sites by slug, and *sites* are
    those that they name.
    """

    name: str
    way: Way
    subject: str = ""
    grants: tuple[Grant, ...] = ()
    sites: Mapping[UUID, str] = field(default_factory=dict)

    @property
    def session(self) -> bool:
        """Whether it is known by a cookie, which a browser sends for anybody's page."""
        return self.way is Way.SESSION


_NOBODY: Final = Operator(NOBODY, Way.NONE)


def install(app: Flask, *, token_hash: str, session_key: str) -> None:
    """Guard every route of *app*.

    The key of the cookies is bound to the token: a new token ends all sessions.  Without token or
    key no cookie is ever signed or believed.
    """
    if token_hash and session_key:
        app.secret_key = hmac.digest(session_key.encode(), token_hash.encode(), "sha256")
    app.config.update(
        SESSION_COOKIE_NAME="sprout_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=SESSION_LIFE,
    )
    app.before_request(partial(_authenticate, token_hash))


def caller() -> Caller:
    """Return on whose behalf the current request acts, for commands and audit."""
    found = operator()
    return Caller(
        name=found.name,
        request_id=request_id(),
        source_ip=request.remote_addr or "",
        grants=found.grants,
        subject=found.subject,
    )


def operator() -> Operator:
    """Return who asks; nobody in particular has no grant."""
    found: Operator | None = g.get("operator")
    return _NOBODY if found is None else found


def sessions_possible() -> bool:
    """Whether there are a token and a key to bind sessions to."""
    return current_app.secret_key is not None


def from_loopback() -> bool:
    """Whether the peer is on this machine, and no proxy that speaks for somebody else."""
    forwarded = {"Forwarded", "X-Forwarded-For", "X-Real-Ip"} & set(request.headers.keys())
    try:
        return not forwarded and ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def sign_in(name: str) -> None:
    """Give the browser of the current request a session."""
    session.clear()
    session.permanent = True
    session["operator"] = name
    session["csrf"] = secrets.token_urlsafe(32)


def csrf_token() -> str:
    """Return what a page sends back as X-CSRF-Token, or as the form's `csrf_token`."""
    return str(session.get("csrf", ""))


def _authenticate(token_hash: str) -> ResponseReturnValue | None:
    if request.endpoint in OPEN or (request.endpoint == METRICS and from_loopback()):
        return None
    if request.endpoint in BY_RIGHT and blobs.QUERY in request.args:
        return None
    g.operator = _by_token(token_hash) if "Authorization" in request.headers else _by_session()
    if g.operator.session and request.method not in SAFE:
        _demand_csrf_token()
    return None


def _by_token(token_hash: str) -> Operator:
    scheme, _, text = request.headers["Authorization"].partition(" ")
    token = text.strip()
    if scheme.lower() == "bearer" and token:
        if token_hash and hmac.compare_digest(tokens.token_hash(token), token_hash):
            return Operator(ADMIN, Way.ADMIN_TOKEN, ADMIN, EVERYTHING)
        if token.startswith(tokens.PREFIX) and (found := _by_api_token(token)) is not None:
            return found
    # RFC 6750, section 3.1.
    how = {"WWW-Authenticate": 'Bearer realm="sprout", error="invalid_token"'}
    raise Unauthenticated("the token is not good here, or not any more", headers=how)


def _by_api_token(token: str) -> Operator | None:
    with borrowed():
        found = tokens.used(token)
        if found is None:
            return None
        return placed(f"token:{found.name}", Way.API_TOKEN, f"token:{found.id}", found.grants)


def placed(name: str, way: Way, subject: str, grants: Iterable[Grant]) -> Operator:
    """Return who comes with *grants*, which may name sites by id; those that are gone are left out.

    Borrows a connection if there are any.
    """
    given = tuple(grants)
    if all(grant.site is None for grant in given):
        return Operator(name, way, subject, given)
    with borrowed():
        sites = whereabouts.sites(given)
    slugs = {str(identifier): slug for identifier, slug in sites.items()}
    slugs |= {slug: slug for slug in sites.values()}
    kept = [g for g in given if g.site is None]
    kept += [Grant(g.role, slugs[g.site]) for g in given if g.site in slugs]
    return Operator(name, way, subject, tuple(kept), sites)


def _by_session() -> Operator:
    name = session.get("operator")
    if not isinstance(name, str):
        how = {"WWW-Authenticate": 'Bearer realm="sprout"'}
        raise Unauthenticated("neither a token nor a session came along", headers=how)
    return Operator(name, Way.SESSION, ADMIN, EVERYTHING)


def _demand_csrf_token() -> None:
    offered = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    if not hmac.compare_digest(offered.encode(), csrf_token().encode()):
        raise Forged("the CSRF token is missing or not this session's")
