"""What a person sees of machines that nobody entered, and the two buttons that end it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge import auth, refusals
from edge.access import does, may, sites_for, visible_sites
from edge.api import discoveries as api
from edge.errors import status_of
from edge.pages import frame, listing
from models import discoveries as rules
from models.commands import adopting, discoveries
from models.discoveries import Verdict
from models.errors import DomainError, IllegalTransition, NotFound
from models.paging import Ask

ROWS: Final = 60
"""Discoveries of one part of their list: each bears a form."""

SHOWN: Final = 3
"""Discoveries of one page: what was found must not hide what is there."""

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {Verdict.NEW: "waiting", Verdict.ACCEPTED: "good", Verdict.IGNORED: "off"}
)

blueprint: Final = Blueprint("discovered", __name__)


def newest() -> Mapping[str, Any]:
    """Return what the part `parts/discovered.html` shows."""
    sites = visible_sites()
    return {
        "strangers": discoveries.listed(among=sites, state=Verdict.NEW, ask=Ask(limit=SHOWN)),
        "strangers_count": discoveries.counts(among=sites)["new"],
        "named": rules.hostname,
        "csrf": auth.csrf_token(),
        "may_adopt": sites_for("discovery.accept") != frozenset(),
    }


@blueprint.get("/discoveries")
@does("discovery.read")
def index() -> ResponseReturnValue:
    """Show machines that nobody entered; the new ones, unless told."""
    wanted = listing.wanted(api.DiscoveryFilter, "discovery.read", limit=ROWS)
    found = api.found(wanted.query)
    return render_template(
        "discoveries.html",
        wanted=wanted,
        found=found,
        following=wanted.after(found.next),
        verdicts=rules.Verdict,
        tones=TONES,
        named=rules.hostname,
        csrf=auth.csrf_token(),
        may_adopt=sites_for("discovery.accept") != frozenset(),
        commands=frame.commands("/v1/discoveries", "sprout discoveries list", wanted.given),
    )


@blueprint.get("/fragments/discovered")
@does("discovery.read")
def part() -> ResponseReturnValue:
    """Show the newest discoveries, for a page that heard that something changed."""
    return render_template("parts/discovered.html", **newest())


@blueprint.get("/discoveries/<uuid:discovery>")
@does("discovery.read")
def show(discovery: UUID) -> ResponseReturnValue:
    """Show one discovery, and the form that makes a machine of it."""
    return _page(discovery)


@blueprint.post("/discoveries/<uuid:discovery>/accept")
@does("discovery.accept")
def accept(discovery: UUID) -> ResponseReturnValue:
    """Make a machine of a discovery; what is wrong stands at its field."""
    said = adopting.Adoption(
        hostname=request.form.get("hostname", ""),
        architecture=request.form.get("architecture") or None,
    )
    try:
        machine = adopting.accept(auth.caller(), discovery, said)
    except (NotFound, IllegalTransition):
        raise  # the form would be of no use
    except DomainError as exc:
        status = status_of(type(exc))
        refusals.record(code=exc.code, status=status, pointers=[exc.field])
        return _page(discovery, wrong=exc), status
    return redirect(url_for("machine.show", machine=machine), 303)


@blueprint.post("/discoveries/<uuid:discovery>/ignore")
@does("discovery.ignore")
def ignore(discovery: UUID) -> ResponseReturnValue:
    """Show a discovery no longer as new."""
    discoveries.ignore(auth.caller(), discovery)
    return redirect(url_for("fleet.index"), 303)


def _page(discovery: UUID, wrong: DomainError | None = None) -> str:
    view = discoveries.one(discovery)
    return render_template(
        "discovery.html",
        found=view,
        hostname=request.form.get("hostname") or rules.hostname(view.mac),
        architecture=request.form.get("architecture") or view.architecture,
        architectures=rules.ARCHITECTURES,
        wrong=wrong,
        tone=TONES[view.state],
        may_adopt=may("discovery.accept", view.site_id),
        csrf=auth.csrf_token(),
        commands=[
            *frame.commands(f"/v1/discoveries/{view.id}", f"sprout discoveries show {view.id}"),
            f"sprout discoveries accept {view.id} --hostname NAME \\",
            "    --bmc address=https://BMC,username=admin,secretRef=env:BMC --root-disk serial=S",
        ],
    )
