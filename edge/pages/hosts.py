"""Hosts: their page, and the forms that register, rebuild and forget one."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from flask import Blueprint, Response, current_app, request, url_for
from flask.typing import ResponseReturnValue

from edge import preflight, refusals
from edge.access import does, may, sites_for
from edge.api import hosts as api
from edge.api.host_forms import HostRef, NewHost, Rebuild
from edge.pages import asked, forms, frame, machine, outlook, standing
from edge.pages.forms import Field, Form
from edge.pages.outlook import Outlook
from models import boards, queries
from models.actions import Action
from models.commands import hosts as commands
from models.commands import server_types
from models.errors import DomainError, NotReady
from models.kinds import Kind
from models.lifecycle import State
from models.views import MachineView

blueprint: Final = Blueprint("host", __name__)

_ROUTE: Final = "/api/hosts"
_ACTION: Final = Action(
    summary="Install Proxmox VE on it anew.", states=frozenset(), destructive=True
)
_REASON: Final = Field(pointer="/reason", label="Reason", hint="Kept in the audit.")


@blueprint.get("/hosts/<host>")
@does("host.read")
def show(host: str) -> ResponseReturnValue:
    """Show one host, by its id or its name."""
    return machine.page(commands.host(host))


@blueprint.route("/new-host", methods=["GET", "POST"])
@does("host.create")
def new() -> ResponseReturnValue:
    """Register a host: a name, a MAC and a server type."""
    form, more = _new_form()
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        answer: Response = api.create(forms.sent(form.fields, NewHost))
        return answer

    return forms.answered("new.html", form, ask, _to_host, **more)


def _new_form() -> tuple[Form, dict[str, object]]:
    fields = (
        Field(pointer="/hostname", label="Host name", required=True, hint="Such as pve-01."),
        Field(
            pointer="/mac",
            label="MAC of the card that it boots from",
            required=True,
            hint="Such as 52:54:00:12:34:56.",
        ),
        _kinds(),
    )
    wrong = _not_ready()
    faults = [] if wrong is None or request.method == "POST" else forms.faults_of(wrong)
    more = {
        "title": "Register a host",
        "crumbs": (("Machines", url_for("fleet.index")),),
        "what": "It is registered, and nothing else: no disk is touched before you ask for its "
        "rebuild. Its server type says which disk that will wipe.",
        "button": "Register",
        "blocked": bool(faults),
        "commands": frame.commands(
            _ROUTE, "sprout hosts register --hostname NAME --mac MAC --server-type TYPE"
        ),
    }
    return Form(fields=fields, faults=faults), more


def _not_ready() -> NotReady | None:
    """Return why no host can be registered now, if so."""
    try:
        commands.site_of_hosts(current_app.extensions["sprout"].site, sites_for("host.create"))
        server_types.in_force()
    except NotReady as exc:
        return exc
    return None


def _kinds() -> Field:
    try:
        known = server_types.in_force()
    except NotReady:
        known = {}
    words = [(key, f"{each.display_name}, wipes {each.boot_disk}") for key, each in known.items()]
    return Field(
        pointer="/server_type",
        label="Server type",
        kind="select",
        options=words,
        hint="" if words else "None is known: name a file with SPROUT_SERVER_TYPES_FILE.",
    )


@blueprint.route("/hosts/<host>/rebuild", methods=["GET", "POST"])
@does("host.rebuild")
def rebuild(host: str) -> ResponseReturnValue:
    """Say what a rebuild wipes, and ask for it once the host's name was typed."""
    view = commands.host(host)
    refusals.concerns(view.id, view.site_id)
    verb = Kind.REPROVISION if view.state is State.ACTIVE else Kind.PROVISION
    foreseen, wrong = _foreseen(view, verb)
    approvals = [replace(each, pointer="/approval_id") for each in asked.approval(foreseen)]
    typed = Field(pointer=forms.TYPED, label="Host name, to be sure", required=True)
    form = Form(fields=[*approvals, _REASON, typed], faults=forms.faults_of(wrong) if wrong else [])
    more = {
        "machine": view,
        "verb": "rebuild",
        "judged": verb,
        "action": _ACTION,
        "state_now": standing.word(view),
        "outlook": foreseen,
        "back": _to_host(str(view.id)),
        "blocked": wrong is not None and request.method == "GET",
        "may_upload": isinstance(wrong, NotReady) and may("image-preparation.create"),
        "may_approve": may("approval.create", view.site_id),
        "commands": frame.commands(
            f"{_ROUTE}/{view.id}/rebuild", f"sprout hosts rebuild {view.hostname}"
        ),
    }
    if request.method == "GET":
        return forms.shown("ask.html", form, **more)

    def ask() -> Response:
        body = forms.sent(form.fields, Rebuild)
        forms.demand_typed(view.hostname, "host name")
        answer: Response = api.rebuild(HostRef(host=str(view.id)), body)
        return answer

    return forms.answered("ask.html", replace(form, faults=[]), ask, _to_operation, **more)


def _foreseen(host: MachineView, verb: Kind) -> tuple[Outlook, DomainError | None]:
    """Return what a rebuild would do, and why none can begin, if so."""
    wrong: DomainError | None = None
    try:
        chosen = commands.foreseen(host)
        disks = preflight.disks(host, chosen)
        image = queries.image(chosen.image_ref).name
    except DomainError as exc:
        what, disks, wrong = "A rebuild wipes a disk and installs Proxmox VE.", "not known yet", exc
    else:
        what = f"Wipes {disks} and installs {image}: what is on it is lost."
    seen = outlook.of(host, verb, {"installer": commands.PROXMOX}, disks=disks)
    return replace(seen, happens=f"{what} {_switched(host)}"), wrong


def _switched(host: MachineView) -> str:
    if boards.wakes(host.bmc):
        return "A packet wakes it; if it is on already, restart it, from the network."
    if boards.driven(host.bmc):
        return "Its BMC switches it off and on, and has it boot from the network."
    return "It has no BMC: then power it on and boot it from the network, within a day."


@blueprint.route("/hosts/<host>/delete", methods=["GET", "POST"])
@does("host.delete")
def delete(host: str) -> ResponseReturnValue:
    """Forget one, after its name was typed."""
    view = commands.host(host)
    at = _to_host(str(view.id))
    form = Form(fields=[Field(pointer=forms.TYPED, label="Host name, to be sure", required=True)])
    more = {
        "title": f"Delete {view.hostname}?",
        "crumbs": (("Machines", url_for("fleet.index")), (view.hostname, at)),
        "last": "delete",
        "what": "It is forgotten, with its history here. What is on its disk stays as it is.",
        "button": f"Delete {view.hostname}",
        "danger": True,
        "back": at,
        "commands": frame.commands(f"{_ROUTE}/{view.id}", f"sprout hosts delete {view.hostname}"),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        forms.demand_typed(view.hostname, "host name")
        api.delete(HostRef(host=str(view.id)))
        return Response(headers={"Location": "/"})

    return forms.answered("new.html", form, ask, lambda _: url_for("fleet.index"), **more)


def _to_host(host: str) -> str:
    return url_for("host.show", host=host)


def _to_operation(workflow: str) -> str:
    return url_for("flows.operation", workflow=UUID(workflow))
