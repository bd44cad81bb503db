"""How people log in at an OpenID Connect issuer.

`edge.code_flow` speaks to it.  Here is decided where the browser goes afterwards, and whose word
counts: the ID token is verified once more by our own rules.  The issuer's tokens are dropped: the
session keeps who came and what he may.  He logs out as everybody does, by a POST with the session's
own token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, current_app, jsonify, request, session
from flask.typing import ResponseReturnValue

from edge import auth
from edge.access import does
from edge.errors import LoginFailed
from edge.refusals import recorded_as
from edge.sign_in import here
from models.audit import Caller
from models.commands import sessions
from models.database import borrowed
from models.errors import NotFound

if TYPE_CHECKING:
    from edge.issuer import Issuer

AFTER: Final = "next"
"""Where flask-oidc keeps in the session where the browser goes afterwards."""

_TOKEN: Final = "oidc_auth_token"  # noqa: S105 - a word, no token
_PROFILE: Final = "oidc_auth_profile"

FLOW: Final = "sprout-code-flow"


@dataclass(frozen=True, slots=True)
class Flow:
    """Two views: one sends a browser to the issuer, the other takes it back.

    They raise LoginFailed and IssuerAway; tokens are left in the session.
    """

    login: Callable[[], ResponseReturnValue]
    authorize: Callable[[], ResponseReturnValue]


blueprint: Final = Blueprint("people", __name__)


@blueprint.get("/login")
def login() -> ResponseReturnValue:
    """Send the browser to the issuer."""
    _, flow = _flow()
    auth.stored()
    answer = flow.login()
    session[AFTER] = here(request.args.get("next", "/"))
    return answer


@blueprint.get("/authorize")
@recorded_as("session.create")
def authorize() -> ResponseReturnValue:
    """Take whom the issuer sends back, and begin his session."""
    issuer, flow = _flow()
    try:
        answer = flow.authorize()
    finally:
        token, profile = session.pop(_TOKEN, None), session.pop(_PROFILE, None)
    claims = _claims(issuer, token, profile)
    came = auth.person(claims, auth.Way.SESSION)
    nobody = auth.caller()
    with borrowed():
        caller = Caller(
            name=came.name,
            subject=came.subject,
            request_id=nobody.request_id,
            source_ip=nobody.source_ip,
        )
        grants = [f"{grant.role}@{grant.site or '*'}" for grant in came.grants]
        sessions.begun(caller, way="issuer", grants=grants)
    auth.sign_in(came.name, came.subject, came.grants)
    return answer


@blueprint.get("/sign-in/issuer")
def how() -> ResponseReturnValue:
    """Tell a program where people log in: what `sprout login` asks first."""
    issuer = auth.issuer()
    if issuer is None:
        raise NotFound("there is no issuer", hint="Set SPROUT_OIDC_ISSUER, or use a token.")
    client = issuer.client
    return jsonify(
        issuer=client.issuer,
        clientId=client.cli_client_id,
        scopes=client.scopes,
        audience=client.audience,
    )


@blueprint.get("/sign-in/who")
@does("session.read")
def who() -> ResponseReturnValue:
    """Tell somebody who he is here, and what he may: `sprout whoami`."""
    found = auth.operator()
    grants = [{"role": each.role.value, "site": each.site} for each in found.grants]
    return jsonify(name=found.name, subject=found.subject, way=found.way.value, grants=grants)


def _flow() -> "tuple[Issuer, Flow]":
    found = auth.issuer()
    if found is None or not found.client.secret:
        raise NotFound(
            "nobody logs in by an issuer here",
            hint="Set SPROUT_OIDC_ISSUER and SPROUT_OIDC_CLIENT_SECRET.",
        )
    return found, current_app.extensions[FLOW]


def _claims(issuer: "Issuer", token: Any, profile: Any) -> Mapping[str, Any]:
    """Return whom the ID token names; his groups may stand in what userinfo says of him.

    Raises LoginFailed.
    """
    if not isinstance(token, dict) or not isinstance(token.get("id_token"), str):
        raise LoginFailed("the issuer sent no ID token")
    claims = dict(issuer.identity(token["id_token"]))
    if isinstance(profile, dict) and profile.get("sub") == claims["sub"]:
        claims = {**profile, **claims}
    return claims
