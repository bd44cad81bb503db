"""How a person enters what there is: a site, a network of it, a machine."""

from typing import Final

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does, sites_for
from edge.api import machines, networks, sites
from edge.api.machine_forms import NewMachine
from edge.pages import forms, frame
from edge.pages.forms import Field, Form
from models import lists, queries
from models.discoveries import ARCHITECTURES
from models.paging import Ask

blueprint: Final = Blueprint("entering", __name__)

_SITE: Final = (
    Field(pointer="/name", label="Name", required=True, hint="For people: Amsterdam 1."),
    Field(
        pointer="/slug", label="Slug", required=True, hint="For URLs and queues: ams-1. It stays."
    ),
)

_NETWORK: Final = (
    Field(pointer="/name", label="Name", required=True, value="provisioning"),
    Field(pointer="/cidr", label="CIDR", required=True, hint="Such as 10.0.0.0/24."),
    Field(
        pointer="/rangeStart", label="First address", required=True, hint="For machines of ours."
    ),
    Field(pointer="/rangeEnd", label="Last address", required=True),
    Field(pointer="/gateway", label="Gateway"),
)

_MACHINE: Final = (
    Field(pointer="/hostname", label="Host name", required=True),
    Field(
        pointer="/architecture",
        label="Architecture",
        kind="select",
        options=[(each, each) for each in ARCHITECTURES],
    ),
    Field(
        pointer="/interfaces/0/macAddress",
        label="MAC of the interface it boots from",
        required=True,
        hint="Such as 52:54:00:12:34:56.",
    ),
    Field(pointer="/bmc/address", label="BMC", hint="URL of its Redfish service."),
    Field(pointer="/bmc/username", label="BMC user"),
    Field(
        pointer="/bmc/secretRef",
        label="BMC password, where it is kept",
        kind="secret",
        hint="env:NAME or vault:PATH#KEY; never the password itself.",
    ),
    Field(
        pointer="/rootDisk/serial",
        label="Serial number of the disk to write",
        hint="May be left out where it has one disk.",
    ),
)


@blueprint.route("/new-site", methods=["GET", "POST"])
@does("site.create")
def site() -> ResponseReturnValue:
    """Enter a site."""
    form = Form(fields=_SITE)
    more = {
        "title": "New site",
        "crumbs": (("Sites", url_for("places.index")),),
        "what": "A place with machines. Its agent is started there with what enrolment prints.",
        "button": "Create site",
        "commands": frame.commands("/v1/sites", "sprout sites create --name NAME --slug SLUG"),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        return sites.create(forms.sent(_SITE, sites.NewSite))

    return forms.answered("new.html", form, ask, _to_site, **more)


@blueprint.route("/sites/<site>/new-network", methods=["GET", "POST"])
@does("network.create")
def network(site: str) -> ResponseReturnValue:
    """Enter a network of a site."""
    at = queries.site(site)
    form = Form(fields=_NETWORK)
    command = f"sprout networks create --site-id {at.slug} --name NAME --cidr CIDR"
    more = {
        "title": "New network",
        "crumbs": (("Sites", url_for("places.index")), (at.slug, _to_site(at.slug))),
        "what": "Machines boot from it. DHCP answers known machines alone, until it says more.",
        "button": "Create network",
        "commands": frame.commands("/v1/networks", f"{command} --range-start A --range-end B"),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        return networks.create(forms.sent(_NETWORK, networks.NewNetwork, siteId=str(at.id)))

    return forms.answered("new.html", form, ask, lambda _: _to_site(at.slug), **more)


@blueprint.get("/new-machine")
@does("machine.create")
def where() -> ResponseReturnValue:
    """Have the site of a machine chosen; where there is one, it is that."""
    known = lists.sites(among=sites_for("machine.create"), ask=Ask(limit=500))
    if len(known) == 1:
        return redirect(url_for("entering.machine", site=known[0].slug), 303)
    return render_template(
        "where.html",
        sites=known,
        commands=frame.commands("/v1/machines", "sprout machines create --site-id SITE"),
    )


@blueprint.route("/sites/<site>/new-machine", methods=["GET", "POST"])
@does("machine.create")
def machine(site: str) -> ResponseReturnValue:
    """Register a machine at a site."""
    at = queries.site(site)
    form = Form(fields=_MACHINE)
    more = {
        "title": "Register a machine",
        "crumbs": (("Machines", url_for("fleet.index")), (at.slug, _to_site(at.slug))),
        "what": "It is registered, and nothing else: it is neither powered nor written.",
        "button": "Register",
        "commands": frame.commands(
            "/v1/machines",
            f"sprout machines create --site-id {at.slug} --hostname NAME "
            "--interface name=eth0,macAddress=MAC,pxeEnabled=true",
        ),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        fixed = {"name": "eth0", "pxeEnabled": True}
        return machines.create(forms.sent(_MACHINE, NewMachine, siteId=str(at.id), **_nic(fixed)))

    return forms.answered("new.html", form, ask, _to_machine, **more)


def _nic(fixed: dict[str, object]) -> dict[str, object]:
    mac = request.form.get("/interfaces/0/macAddress", "").strip()
    return {"interfaces": [{**fixed, "macAddress": mac}]}


def _to_site(site: str) -> str:
    return url_for("places.show", site=site)


def _to_machine(machine: str) -> str:
    return url_for("machine.show", machine=machine)
