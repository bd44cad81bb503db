"""Who asks: a bearer token, or a browser that signed in.  Nobody else gets anywhere.

Deny by default: every route wants an operator but those that OPEN names, and those of BY_RIGHT
where a right stands in the URL.  Without a token hash in the settings there is no operator, and
every other route refuses.
"""

import hmac
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flask import Flask, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from edge import sessions
from edge.doors import Doors
from edge.errors import Forged, Refusal, Unauthenticated
from edge.exchange import request_id
from models import blobs, roles, whereabouts
from models.audit import Caller
from models.commands import tokens
from models.database import Unavailable, borrowed
from models.errors import NotReady
from models.roles import Grant, Role

OPEN: Final = frozenset(
    {
        "boot_plane.answer",
        "boot_plane.first_boot_script",
        "boot_plane.installed",
        "boot_plane.phone_home",
        "boot_plane.script",
        "health.live",
        "health.ready",
        "people.authorize",
        "people.how",
        "people.login",
        "problems.show",
        "sign_in.ask",
        "sign_in.redeem",
        "static",
    }
)
"""Endpoints that anybody may ask."""

BY_RIGHT: Final = frozenset({"blobs.show", "blobs.put"})
"""Endpoints that judge by themselves a right that stands in the URL."""

METRICS: Final = "prometheus_metrics"
"""Open to loopback only, since a scraper has no token."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
if TYPE_CHECKING:
    from edge.issuer import Issuer

DOORS: Final = "sprout-doors"
ISSUER: Final = "sprout-issuer"
_LONGEST_NAME: Final = 255
_NAME: Final = re.compile(r"[\w][\w.@+ -]{0,99}")
_OURS: Final = frozenset({"admin", "anonymous", "engine", "reaper", "control", "edge", "sprout"})
"""Names under which we write in the audit ourselves."""
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
class Proof:
    """What somebody is known by, and by which it is seen when that is over.

    *session* is the session's hash, *token* the id of an API token; *until* is a Unix time.
    """

    session: str = ""
    token: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A person or program that proved itself.

    *subject* is who it is even when *name* is shared, *owner* the subject of who answers for a
    program; *grants* name sites by slug, and *sites* are those that they name.
    """

    name: str
    way: Way
    subject: str = ""
    grants: tuple[Grant, ...] = ()
    sites: Mapping[UUID, str] = field(default_factory=dict)
    proof: Proof = Proof()
    owner: str = ""

    @property
    def session(self) -> bool:
        """Whether it is known by a cookie, which a browser sends for anybody's page."""
        return self.way is Way.SESSION


_NOBODY: Final = Operator(NOBODY, Way.NONE)


def install(app: Flask, doors: Doors, issuer: "Issuer | None" = None) -> None:
    """Guard every route of *app*."""
    app.extensions[ISSUER] = issuer
    app.secret_key = doors.key
    app.session_interface = sessions.Stored()
    app.config.update(
        SESSION_COOKIE_NAME="sprout_session",
        SESSION_COOKIE_HTTPONLY=True,
        # Who comes back from the issuer comes from another site: Strict would lose him.
        SESSION_COOKIE_SAMESITE="Lax" if doors.issuer else "Strict",
    )
    app.extensions[DOORS] = doors
    app.before_request(partial(_authenticate, doors.token_hash))


def caller() -> Caller:
    """Return on whose behalf the current request acts, for commands and audit."""
    found = operator()
    return Caller(
        name=found.name,
        request_id=request_id(),
        source_ip=request.remote_addr or "",
        grants=found.grants,
        subject=found.subject,
        owner=found.owner,
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


def recognized() -> bool:
    """Return whether somebody known asks what anybody may ask."""
    doors: Doors = current_app.extensions[DOORS]
    try:
        if "Authorization" in request.headers:
            return bool(_by_token(doors.token_hash).grants)
        return _by_session() is not None
    except (Refusal, Unavailable):
        return False


def sign_in(
    name: str,
    subject: str = ADMIN,
    grants: Iterable[Grant] = EVERYTHING,
    *,
    owner: str = "",
    until: datetime | None = None,
) -> None:
    """Give the browser of the current request a new session, which ends with *until* at last."""
    ends = datetime.now(UTC) + sessions.LIFE
    stored().begin(
        **{sessions.WHO: name},
        subject=subject,
        owner=owner,
        grants=[[grant.role.value, grant.site] for grant in grants],
        csrf=secrets.token_urlsafe(32),
        until=min(ends, until or ends).timestamp(),
    )


def stored() -> sessions.Session:
    """Return the session of the current request.  Raises NotReady where there can be none."""
    found: Any = session._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy
    if not isinstance(found, sessions.Session):
        raise NotReady(
            "no session can be made",
            hint="Set SPROUT_SESSION_KEY, and a way in such as SPROUT_ADMIN_TOKEN_HASH, "
            "and start the edge again.",
        )
    return found


def csrf_token() -> str:
    """Return what a page sends back as X-CSRF-Token, or as the form's `csrf_token`."""
    return str(session.get("csrf", ""))


def stranger_csrf_token() -> str:
    """Return the same for the form of somebody who has not come in yet."""
    if "csrf" not in stored():
        stored()["csrf"] = secrets.token_urlsafe(32)
    return csrf_token()


def _authenticate(token_hash: str) -> ResponseReturnValue | None:
    if request.endpoint in OPEN or (request.endpoint == METRICS and from_loopback()):
        return None
    if request.endpoint in BY_RIGHT and blobs.QUERY in request.args:
        return None
    if "Authorization" in request.headers:
        g.operator = _by_token(token_hash)
        return None
    found = _by_session()
    if found is None:
        return _shown_the_door()
    g.operator = found
    if request.method not in SAFE:
        demand_csrf_token()
    return None


def _shown_the_door() -> ResponseReturnValue:
    """Send a person to where he can sign in; tell a program how."""
    if request.method == "GET" and _for_a_person():
        here = request.full_path.rstrip("?")
        return redirect(url_for("sign_in.ask", next=None if here == "/" else here), 303)
    how = {"WWW-Authenticate": 'Bearer realm="sprout"'}
    raise Unauthenticated("neither a token nor a session came along", headers=how)


def _for_a_person() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _by_token(token_hash: str) -> Operator:
    scheme, _, text = request.headers["Authorization"].partition(" ")
    token = text.strip()
    if scheme.lower() == "bearer" and token:
        if token_hash and hmac.compare_digest(tokens.token_hash(token), token_hash):
            return Operator(ADMIN, Way.ADMIN_TOKEN, ADMIN, EVERYTHING)
        if token.startswith(tokens.PREFIX):
            if (found := _by_api_token(token)) is not None:
                return found
        elif (asked := issuer()) is not None:
            claims = asked.access(token)
            return replace(person(claims, Way.ISSUER), proof=Proof(until=float(claims["exp"])))
    # RFC 6750, section 3.1.
    how = {"WWW-Authenticate": 'Bearer realm="sprout", error="invalid_token"'}
    raise Unauthenticated("the token is not good here, or not any more", headers=how)


def issuer() -> "Issuer | None":
    """Return the issuer whose word counts here, None without one."""
    found: Issuer | None = current_app.extensions[ISSUER]
    return found


def person(claims: Mapping[str, Any], way: Way) -> Operator:
    """Return whom an issuer's *claims* name, with what his groups stand for."""
    subject = f"oidc:{claims['sub']}"[:_LONGEST_NAME]
    named = (claims.get(each) for each in ("preferred_username", "email", "client_id"))
    name = next((each for each in named if isinstance(each, str) and _NAME.fullmatch(each)), "")
    # Nobody passes for one of us by what he calls himself elsewhere.
    known = subject if name.lower() in {"", *_OURS} else name
    return placed(known, way, subject, roles.of_groups(claims.get("groups")))


def _by_api_token(token: str) -> Operator | None:
    with borrowed():
        found = tokens.used(token)
        if found is None:
            return None
        came = placed(f"token:{found.name}", Way.API_TOKEN, f"token:{found.id}", found.grants)
        proof = Proof(token=str(found.id), until=found.expires_at.timestamp())
        return replace(came, owner=found.person, proof=proof)


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


def _by_session() -> Operator | None:
    name = session.get(sessions.WHO)
    until = session.get("until")
    if not isinstance(name, str) or (until is not None and until <= time.time()):
        return None
    grants = [Grant(Role(role), site) for role, site in session.get("grants", ())]
    came = placed(name, Way.SESSION, session.get("subject", name), grants)
    owner = str(session.get("owner", ""))
    return replace(came, proof=Proof(stored().hash, until=until), owner=owner)


def demand_csrf_token() -> None:
    """Return if the request came from a page of this browser's session.  Raises Forged."""
    offered = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    wanted = csrf_token()
    if not wanted or not hmac.compare_digest(offered.encode(), wanted.encode()):
        raise Forged("the CSRF token is missing or not this session's")
