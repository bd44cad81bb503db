"""A person's browser is let in by a one-time code, by the local admin's password, or by an issuer.

A GET changes nothing that carries authority, so that a link preview or a prefetch cannot burn a
code.
"""

import hashlib
import re
import threading
from typing import Final
from urllib.parse import urlencode

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from edge import auth, passwords, plain, refusals
from edge.access import does
from edge.doors import Doors
from edge.errors import IssuerAway, TooManyAttempts
from edge.refusals import recorded_as
from models.audit import Caller
from models.commands import sessions
from models.commands import sign_in as commands
from models.database import borrowed

SCRYPTS: Final = threading.BoundedSemaphore(2)
"""Passwords looked at at once in this process: each takes 32 MiB."""

PATIENCE_S: Final = 5
_HERE: Final = re.compile(r"/(?!/)[A-Za-z0-9._~/?=&%:@+,-]{0,500}")

blueprint: Final = Blueprint("sign_in", __name__)

_CODE: Final = Markup(
    '<form method="post" action="/sign-in">'
    '<input type="hidden" name="code" value="{code}">'
    '<input type="hidden" name="next" value="{next}">'
    '<button type="submit" autofocus>Sign in</button></form>'
)
_ISSUER: Final = Markup('<p><a class="button" href="{url}">Log in at {name}</a></p>')
_END: Final = Markup('<p><a href="{url}">Sign out there too</a></p>')
_PASSWORD: Final = Markup(
    '<form method="post" action="/sign-in">'
    '<input type="hidden" name="csrf_token" value="{csrf}">'
    '<input type="hidden" name="next" value="{next}">'
    '<p><label for="password">The admin\u2019s password</label><br>'
    '<input id="password" name="password" type="password" required autofocus '
    'autocomplete="current-password" maxlength="1024"></p>'
    '<button type="submit">Sign in</button></form>'
)


def code_hash(code: str) -> str:
    """Return what is kept of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


def here(text: str) -> str:
    """Return *text* if it is a path of this server, so that it leads nowhere else; or `/`."""
    return text if _HERE.fullmatch(text) else "/"


@blueprint.get("/sign-in")
def ask() -> ResponseReturnValue:
    """Show the ways in; the button that uses up a code, where there is one."""
    code, wanted = request.args.get("code", ""), here(request.args.get("next", "/"))
    if code:
        form = _CODE.format(code=code, next=wanted)
        return plain.page("Sign in", "This browser stays signed in for 12 hours.", form)
    return _ways(wanted, *_signed_out())


@blueprint.post("/sign-in")
@recorded_as("session.create")
def redeem() -> ResponseReturnValue:
    """Use up the code, or look at the password, and begin a session."""
    auth.stored()
    wanted = here(request.form.get("next", "/"))
    if "password" in request.form:
        return _by_password(wanted)
    with borrowed():
        came = commands.redeem(auth.caller(), code_hash(request.form.get("code", "")))
    who = came.caller
    auth.sign_in(who.name, who.subject, who.grants, owner=who.owner, until=came.until)
    return redirect(wanted, 303)


@blueprint.post("/sign-out")
@does("session.delete")
def leave() -> ResponseReturnValue:
    """End the session of this browser."""
    auth.stored().end()
    return redirect("/sign-in?out=1", 303)


def _end_url() -> str:
    """Return where the session at the issuer itself can be ended; nothing if it cannot."""
    issuer = auth.issuer()
    public_url = current_app.extensions["sprout"].public_url
    if issuer is None or not issuer.client.secret:
        return ""
    try:
        end = issuer.metadata().get("end_session_endpoint", "")
    except IssuerAway:
        return ""
    back = {
        "client_id": issuer.client.client_id,
        "post_logout_redirect_uri": f"{public_url}/sign-in",
    }
    return f"{end}?{urlencode(back)}" if end else ""


def _ways(wanted: str, *said: str | Markup, status: int = 200) -> ResponseReturnValue:
    doors: Doors = current_app.extensions[auth.DOORS]
    ways: list[str | Markup] = [*said]
    if _by_issuer():
        ways.append(_ISSUER.format(url=url_for("people.login", next=wanted), name=doors.issuer))
    if doors.password_hash and doors.key is not None:
        ways.append(_PASSWORD.format(csrf=auth.stranger_csrf_token(), next=wanted))
    ways.append(
        f"{'Or print' if ways else 'Print'} a one-time URL in a terminal: `sprout login-url`"
    )
    return plain.page("Sign in", *ways, status=status)


def _by_issuer() -> bool:
    issuer = auth.issuer()
    return issuer is not None and bool(issuer.client.secret)


def _signed_out() -> list[str | Markup]:
    if "out" not in request.args:
        return []
    url = _end_url()
    there = [_END.format(url=url)] if url else []
    return ["This browser is signed out here.", *there]


def _by_password(wanted: str) -> ResponseReturnValue:
    auth.demand_csrf_token()
    source = request.remote_addr or ""
    with borrowed():
        number = sessions.attempt(source)
    if number is None:
        raise TooManyAttempts(
            "too many passwords were tried",
            headers={"Retry-After": str(int(sessions.WINDOW.total_seconds()))},
        )
    if not _right(request.form["password"]):
        refusals.record(code="unauthenticated", status=401, pointers=["/password"])
        return _ways(wanted, "That is not the password.", status=401)
    with borrowed():
        sessions.succeeded(number)
        sessions.begun(_admin(), way="password")
    auth.sign_in(auth.ADMIN)
    return redirect(wanted, 303)


def _right(password: str) -> bool:
    doors: Doors = current_app.extensions[auth.DOORS]
    if not SCRYPTS.acquire(timeout=PATIENCE_S):
        raise TooManyAttempts(
            "too many passwords are looked at", headers={"Retry-After": str(PATIENCE_S)}
        )
    try:
        return passwords.right(password, doors.password_hash)
    finally:
        SCRYPTS.release()


def _admin() -> Caller:
    nobody = auth.caller()
    return Caller(name=auth.ADMIN, request_id=nobody.request_id, source_ip=nobody.source_ip)
