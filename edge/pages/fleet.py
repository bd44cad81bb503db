"""The machines, as tiles or as a table: which is looked at stands in the URL."""

from typing import Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from edge.access import does, may, sites_for, visible_sites
from edge.api import machines
from edge.api.machine_forms import MachineFilter
from edge.pages import discovered, frame, listing
from edge.pages.tiles import tile
from edge.wording import TONES
from models import queries
from models.discoveries import ARCHITECTURES

blueprint: Final = Blueprint("fleet", __name__)

SORTS: Final = (
    ("hostname", "Host name"),
    ("-updatedAt", "Changed last"),
    ("-createdAt", "Newest"),
    ("createdAt", "Oldest"),
)


@blueprint.get("/")
@does("machine.read")
def index() -> ResponseReturnValue:
    """Show the fleet."""
    wanted = listing.wanted(MachineFilter, "machine.read", "view")
    sites = visible_sites()
    found = machines.found(wanted.query)
    agents = queries.agents(among=frozenset(machine.site_id for machine in found))
    site = wanted.query.site_id
    at = None if site is None else queries.site(site).id
    return render_template(
        "fleet.html",
        wanted=wanted,
        tiles=[tile(machine, agents) for machine in found],
        following=wanted.after(found.next),
        counts={s.value: n for s, n in queries.counts(at, among=sites).items()},
        tones=TONES,
        sorts=SORTS,
        architectures=ARCHITECTURES,
        may_register=sites_for("machine.create") != frozenset(),
        may_site=may("site.create"),
        commands=frame.commands("/v1/machines", "sprout machines list", wanted.given),
        **discovered.newest(),
    )
