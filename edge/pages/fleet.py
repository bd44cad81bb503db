"""The machines, as tiles or as a table: which is looked at stands in the URL."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from edge.access import does, may, sites_for, visible_sites
from edge.api import machines
from edge.api.machine_forms import MachineFilter
from edge.pages import discovered, frame, listing
from edge.pages.tiles import tile
from edge.wording import TONES
from models import lists, queries
from models.commands import server_types
from models.commands.hosts import PROXMOX
from models.discoveries import ARCHITECTURES
from models.errors import NotReady
from models.paging import Ask

blueprint: Final = Blueprint("fleet", __name__)

MOST: Final = 100
"""Images among which that of hosts is looked for."""

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
        **_hosting(teaches=not found and not wanted.given),
        commands=frame.commands("/v1/machines", "sprout machines list", wanted.given),
        **discovered.newest(),
    )


def _hosting(*, teaches: bool) -> Mapping[str, Any]:
    """Return what the page says of hosts: nothing where there are no server types."""
    try:
        kinds = server_types.in_force()
    except NotReady:
        kinds = {}
    if not kinds or sites_for("host.create") == frozenset():
        return {"may_host": False}
    if not teaches:
        return {"may_host": True}
    images = (each.name for each in lists.images(ask=Ask(limit=MOST)) if each.installer == PROXMOX)
    return {
        "may_host": True,
        "first_kind": next(iter(kinds)),
        "proxmox": next(images, ""),
        "may_upload": may("image-preparation.create"),
    }
