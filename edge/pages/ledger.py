"""The audit: who asked for what, what it changed, and whether it is sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.api import audit
from edge.pages import frame, listing, progress
from models import captions
from models.views import AuditView

ROWS: Final = 50
"""Rows of one part: each bears all that it says."""

TONES: Final[Mapping[str, str]] = MappingProxyType({"done": "good", "refused": "failed"})
_BEFORE: Final = ("before", "from")
_AFTER: Final = ("after", "to")

blueprint: Final = Blueprint("ledger", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that was changed; empty: it was not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row as it is shown; *more* is what it says besides its changes."""

    row: AuditView
    changes: Sequence[Change]
    more: Sequence[tuple[str, str]]
    sealed: bool


@blueprint.get("/audit")
@does("audit.read")
def index() -> ResponseReturnValue:
    """Show who asked for what, the newest first unless told."""
    wanted = listing.wanted(audit.AuditFilter, "audit.read", limit=ROWS)
    rows = audit.found(wanted.query)
    sealing = captions.sealing([row.id for row in rows])
    return render_template(
        "ledger.html",
        wanted=wanted,
        entries=[_entry(row, row.id in sealing.sealed) for row in rows],
        hostnames=captions.hostnames({row.machine_id for row in rows if row.machine_id}),
        slugs=captions.slugs({row.site_id for row in rows if row.site_id}),
        following=wanted.after(rows.next),
        tones=TONES,
        # Its hash says something of every row: it is for who may read them all.
        sealing=sealing if may("audit-seal.read") else None,
        commands=frame.commands("/v1/audit", "sprout audit list", wanted.given),
    )


def _entry(row: AuditView, sealed: bool) -> Entry:  # noqa: FBT001 - a fact of the row
    data = dict(row.data)
    before = next((data.pop(name) for name in _BEFORE if name in data), None)
    after = next((data.pop(name) for name in _AFTER if name in data), None)
    return Entry(
        row=row, changes=_changes(before, after), more=progress.fields(data), sealed=sealed
    )


def _changes(before: Any, after: Any) -> list[Change]:
    old, new = _by_name(before), _by_name(after)
    names = sorted(old.keys() | new.keys())
    return [
        Change(name=name, before=old.get(name, ""), after=new.get(name, ""))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _by_name(value: Any) -> Mapping[str, str]:
    match value:
        case None:
            return {}
        case dict():
            return dict(progress.fields(value))
        case _:
            return {"state": str(value)}
