"""What was refused is recorded too: one audit row, in a transaction of its own."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from flask import current_app, g, request

from edge.auth import SAFE, caller
from models import audit
from models.database import Unavailable, borrowed, database

log = structlog.get_logger()

_ALWAYS: Final = frozenset({"denied", "login-failed", "workload-refused"})
"""Codes that are written down whatever was asked: somebody came far, and may not."""

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

    Who may not, or holds a certificate of another, is written down whatever he asked.

    Holds codes and pointers, never what was sent: a secret may have been pasted into any field.
    """
    if (request.method in SAFE and code not in _ALWAYS) or request.url_rule is None:
        return
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    try:
        _write(code, [printable(pointer) for pointer in pointers[:_MOST]])
    except Unavailable as exc:
        log.warning("audit.lost-refusal", code=code, why=str(exc))


def printable(text: str) -> str:
    """Return *text* as it can be kept and shown: bounded, and without what PostgreSQL refuses.

    Names of unknown fields are the caller's own words.
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST])


def _write(code: str, pointers: list[str]) -> None:
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
            data={"code": code, "pointers": pointers},
        )
