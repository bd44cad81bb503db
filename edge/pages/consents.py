"""Approvals: what waits for somebody's word, who can give it, and what was said."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from edge.access import does, sites_for, visible_sites
from edge.api import approvals
from edge.pages import frame, listing
from models import captions, day2_queries, queries

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {"open": "waiting", "used": "good", "denied": "failed", "expired": "off"}
)

blueprint: Final = Blueprint("consents", __name__)


@blueprint.get("/approvals")
@does("approval.read")
def index() -> ResponseReturnValue:
    """Show what waits for a word, and the words that were given."""
    wanted = listing.wanted(approvals.ApprovalFilter, "approval.read")
    found = approvals.found(wanted.query)
    lacking = captions.lacking(among=visible_sites())
    return render_template(
        "consents.html",
        wanted=wanted,
        approvals=[(view, approvals.state_of(view)) for view in found],
        lacking=lacking,
        hostnames=captions.hostnames(
            {each.machine_id for each in found} | {each.machine_id for each in lacking}
        ),
        slugs=captions.slugs({each.site_id for each in found} | {each.site_id for each in lacking}),
        following=wanted.after(found.next),
        tones=TONES,
        decides_at=sites_for("approval.create"),
        commands=frame.commands("/v1/approvals", "sprout approvals list", wanted.given),
    )


@blueprint.get("/approvals/<uuid:approval>")
@does("approval.read")
def show(approval: UUID) -> ResponseReturnValue:
    """Show one approval."""
    view = day2_queries.approval(approval)
    path = f"/v1/approvals/{view.id}"
    state = approvals.state_of(view)
    return render_template(
        "consent.html",
        approval=view,
        state_word=state,
        tone=TONES[state],
        machine=queries.machine(view.machine_id),
        commands=frame.commands(path, f"sprout approvals show {view.id}"),
    )
