"""What was refused is recorded too: one audit row, in a transaction of its own."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from flask import current_app, g, request

from edge.auth import SAFE, caller
from edge.restraint import Restraint
from models import audit
from models.database import Unavailable, borrowed, database

log = structlog.get_logger()

_ALWAYS: Final = frozenset({"denied", "login-failed", "workload-refused"})
"""Codes that are written down whatever was asked: somebody came far, and may not."""

_STRANGER: Final = "unauthenticated"
RESTRAINT: Final = "sprout-restraint"
"""What holds back rows of who is unknown: one for each application."""

_LONGEST: Final = 200
_MOST: Final = 20

_View = TypeVar("_View", bound=Callable[..., Any])


def recorded_as(action: str) -> Callable[[_View], _View]:
    """Name what a view does, as `kind.verb`, for the audit of its refusals."""

    def named(view: _View) -> _View:
        view.audit_action = action  # type: ignore[attr-defined] # functions bear attributes
        return view

    return named


def concerns(machine: UUID, site: UUID) -> None:
    """Note which machine the current request is about, and its site."""
    g.subject = machine, site


def happened_at(site: UUID | None) -> None:
    """Note at which site the current request asks for something."""
    g.site = site


def record(*, code: str, status: int, pointers: Sequence[str]) -> None:
    """Write down that the current request was refused, if it would have changed something.

    Who may not, or holds a certificate of another, is written down whatever he asked.  So is who
    comes with a token that is not good, though only so often: anybody can.

    Holds codes and pointers, never what was sent: a secret may have been pasted into any field.
    """
    guessed = code == _STRANGER and "Authorization" in request.headers
    if request.url_rule is None or (request.method in SAFE and not guessed and code not in _ALWAYS):
        return
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    left_out = _left_out() if code == _STRANGER else 0
    if left_out is None:
        return
    told = {"code": code, "pointers": [printable(pointer) for pointer in pointers[:_MOST]]}
    try:
        _write(told | ({"leftOut": left_out} if left_out else {}))
    except Unavailable as exc:
        log.warning("audit.lost-refusal", code=code, why=str(exc))


def _left_out() -> int | None:
    """Return how many rows of who asks were left out before; None: this one is too."""
    restraint: Restraint = current_app.extensions[RESTRAINT]
    return restraint.admit(request.remote_addr or "", monotonic())


def printable(text: str) -> str:
    """Return *text* as it can be kept and shown: bounded, and without what PostgreSQL refuses.

    Names of unknown fields are the caller's own words.
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST])


def _write(told: dict[str, Any]) -> None:
    view = current_app.view_functions[request.endpoint or ""]
    action = str(getattr(view, "audit_action", request.endpoint))
    machine, site = g.get("subject", (None, g.get("site")))
    named = printable(",".join(str(value) for value in (request.view_args or {}).values()))
    with borrowed(), database.atomic():
        audit.record(
            caller(),
            action,
            kind=action.partition(".")[0],
            id=machine or named,
            site=site,
            machine=machine,
            refused=True,
            data=told,
        )
