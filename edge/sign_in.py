"""A person's browser is let in by a one-time code: shown by GET, used up by POST.

A GET changes nothing, so that a link preview or a prefetch cannot burn the code.
"""

import hashlib
from typing import Final

from flask import Blueprint, redirect, request, session
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from edge import auth, plain
from edge.access import does
from edge.refusals import recorded_as
from models.audit import Caller
from models.commands import sign_in as commands
from models.database import borrowed
from models.errors import NotReady

blueprint: Final = Blueprint("sign_in", __name__)

_FORM = Markup(
    '<form method="post" action="/sign-in">'
    '<input type="hidden" name="code" value="{code}">'
    '<button type="submit" autofocus>Sign in</button></form>'
)


def code_hash(code: str) -> str:
    """Return what is kept of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


@blueprint.get("/sign-in")
def ask() -> ResponseReturnValue:
    """Show the button that uses up the code."""
    code = request.args.get("code", "")
    if not code:
        return plain.page("Sign in", "Print a one-time URL in a terminal: `sprout login-url`")
    return plain.page(
        "Sign in", "This browser stays signed in for 12 hours.", _FORM.format(code=code)
    )


@blueprint.post("/sign-in")
@recorded_as("session.create")
def redeem() -> ResponseReturnValue:
    """Use up the code and begin a session."""
    if not auth.sessions_possible():
        raise NotReady(
            "no session can be made",
            hint="Set SPROUT_ADMIN_TOKEN_HASH and SPROUT_SESSION_KEY, and start the edge again.",
        )
    anonymous = auth.caller()
    admin = Caller(name=auth.ADMIN, request_id=anonymous.request_id, source_ip=anonymous.source_ip)
    with borrowed():
        commands.redeem(admin, code_hash(request.form.get("code", "")))
    auth.sign_in(auth.ADMIN)
    return redirect("/", 303)


@blueprint.post("/sign-out")
@does("session.delete")
def leave() -> ResponseReturnValue:
    """End the session of this browser."""
    session.clear()
    return redirect("/sign-in", 303)
