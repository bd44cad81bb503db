"""The live stream: judged here, and then passed on to the events process, connection and all.

So pages and programs have one address and one way of proving who they are, and no thread of the
edge is held.  Hints carry ids, never state: whoever hears one reads again.
"""

import socket
import time
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, current_app, request

from edge import auth, exchange
from edge.access import does, visible_sites
from edge.errors import NoStream
from edge.live import handover
from edge.live.handover import Ask, Form, NotTaken

MIME_TYPE: Final = "text/event-stream"
RETRY_AFTER_S: Final = 5
ISSUERS_WORD_S: Final = 900.0
"""Seconds that a stream lasts by an issuer's token, which may be revoked unseen."""

LARGEST: Final = 2**63 - 1

blueprint: Final = Blueprint("events", __name__)


@blueprint.get("/events/hints")
@does("event.read")
def stream() -> Response:
    """Stream hints to a page; 503 with Retry-After when no more streams can be had."""
    return streamed(Form.HINTS)


def streamed(
    form: Form,
    *,
    after: int | None = None,
    machine: UUID | None = None,
    site: UUID | None = None,
    kind: str | None = None,
) -> Response:
    """Pass the current request's connection on.  What is returned reaches nobody.

    Where a caller resumes stands in Last-Event-ID, or else is *after*.  Raises NoStream.
    """
    response = Response(mimetype=MIME_TYPE, headers={"X-Accel-Buffering": "no"})
    if request.method == "HEAD":
        return response
    resumed = _last_event_id()
    ask = Ask(
        head=_head(response),
        form=form,
        after=after if resumed is None else resumed,
        machine=None if machine is None else str(machine),
        site=None if site is None else str(site),
        kind=kind,
        **_caller(),
    )
    line: socket.socket | None = request.environ.get("gunicorn.socket")
    if line is None:
        raise _none("this server has no connection to pass on")
    try:
        handover.pass_on(current_app.extensions["sprout"].events_socket, line, ask)
    except NotTaken as exc:
        raise _none(str(exc)) from exc
    return response


def _none(why: str) -> NoStream:
    return NoStream(why, headers={"Retry-After": str(RETRY_AFTER_S)})


def _caller() -> dict[str, Any]:
    operator, sites = auth.operator(), visible_sites()
    until = operator.proof.until
    if until is not None and operator.way is auth.Way.ISSUER:
        until = min(until, time.time() + ISSUERS_WORD_S)
    return {
        "subject": operator.subject,
        "sites": None if sites is None else tuple(map(str, sites)),
        "session": operator.proof.session,
        "token": operator.proof.token,
        "until": until,
    }


def _last_event_id() -> int | None:
    """Return what the caller heard last; what is no number of ours is no resumption."""
    given = request.headers.get("Last-Event-ID", "")
    known = given.isascii() and given.isdecimal() and len(given) <= len(str(LARGEST))
    return min(int(given), LARGEST) if known else None


def _head(response: Response) -> str:
    """Return the status line and headers that the events process writes in our stead."""
    exchange.stamped(response)
    response.headers["Connection"] = "close"
    response.headers.pop("Content-Length", None)
    lines = [f"{name}: {value}" for name, value in response.headers]
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""])
