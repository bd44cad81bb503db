"""What may be asked of a machine: each verb says what will happen, and who must agree to it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

from edge import auth, refusals
from edge.access import does, may
from edge.api import approvals, machine_verbs, verb_forms, workflows
from edge.api.machine_forms import MachineRef
from edge.errors import Unreadable
from edge.pages import forms, frame
from edge.pages.forms import Field, Form
from edge.pages.machine import disk_words
from models import captions, day2_queries, lists, queries
from models import policy as rules
from models.actions import ACTIONS, ALLOCATE
from models.commands import policy
from models.commands.asks import BOOT_SOURCES
from models.day2_views import ApprovalView
from models.kinds import Kind
from models.paging import Ask
from models.policy import Consent
from models.views import MachineView

MOST: Final = 500
"""Images and profiles that a form offers."""

blueprint: Final = Blueprint("asking", __name__)

_VIEWS: Final[Mapping[str, Callable[..., Response]]] = MappingProxyType(
    {
        Kind.COMMISSION: machine_verbs.commission,
        Kind.PROVISION: machine_verbs.provision,
        Kind.REPROVISION: machine_verbs.reprovision,
        Kind.IMAGE: machine_verbs.image,
        Kind.POWER_ON: machine_verbs.power_on,
        Kind.POWER_OFF: machine_verbs.power_off,
        Kind.REBOOT: machine_verbs.reboot,
        Kind.BOOT_SOURCE: machine_verbs.boot_source,
        Kind.REMOTE_TASK: machine_verbs.remote_task,
        Kind.RELEASE: machine_verbs.release,
        Kind.RETIRE: machine_verbs.retire,
        Kind.MAINTENANCE: machine_verbs.maintenance,
        Kind.RESUME: machine_verbs.resume,
        Kind.CLEAR: machine_verbs.clear,
        Kind.DEALLOCATE: machine_verbs.deallocate,
    }
)
"""The views of /v1 that the forms ask by."""

_WIPES: Final = "Wipes {disk}, powers it off and on, boots it from the network, writes the image."
_HAPPENS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Kind.COMMISSION: "Asks its BMC for processors, memory, disks and NICs. Writes nothing.",
        Kind.PROVISION: _WIPES,
        Kind.REPROVISION: _WIPES,
        Kind.IMAGE: "Its BMC inserts the image and boots from it next: what that does is its own.",
        Kind.POWER_ON: "Switches it on.",
        Kind.POWER_OFF: "Switches it off, whatever runs on it.",
        Kind.REBOOT: "Switches it off, then on, whatever runs on it.",
        Kind.BOOT_SOURCE: "Its BMC keeps what it boots from. It is not powered.",
        Kind.REMOTE_TASK: "Runs the command on its system; the output is kept as evidence.",
        Kind.RELEASE: "Switches it off and gives its address back. {disk} stays as it is.",
        Kind.RETIRE: "Takes it out of use for good, and gives its address back.",
        Kind.MAINTENANCE: "Takes it out of turn. It is not powered.",
        Kind.RESUME: "Brings it back to where it came from. It is not powered.",
        Kind.CLEAR: "Says that what failed is mended. It is not powered.",
        Kind.DEALLOCATE: "Gives it back to those that are free. It is not powered.",
    }
)

_REASON: Final = Field(pointer="/reason", label="Reason", hint="Kept in the audit.")


def _verb(name: str) -> None:
    """Serve the form of one verb: its role is judged as that of the route of /v1 is."""

    @does(f"machine.{name}")
    def view(machine: UUID) -> ResponseReturnValue:
        return _page(queries.machine(machine), name)

    rule = f"/machines/<uuid:machine>/{name}"
    blueprint.add_url_rule(rule, name, view, methods=["GET", "POST"])


for _name in _VIEWS:
    _verb(_name)


def _page(machine: MachineView, verb: str) -> ResponseReturnValue:
    refusals.concerns(machine.id, machine.site_id)
    action, wanted = ACTIONS[verb], _consent(machine, verb)
    given = _good(machine, verb)
    fields = [*_fields(machine, verb), *_approval(given, wanted), _REASON]
    if action.destructive:
        fields.append(Field(pointer=forms.TYPED, label="Host name, to be sure", required=True))
    form = Form(fields=fields)
    more = {
        "machine": machine,
        "verb": verb,
        "action": action,
        "happens": _HAPPENS[verb].format(disk=_disk(machine)),
        "wanted": wanted,
        "given": given,
        "may_approve": may("approval.create", machine.site_id),
        "commands": frame.commands(
            f"/v1/machines/{machine.id}/{verb}", f"sprout machines {verb} {machine.hostname}"
        ),
    }
    if request.method == "GET":
        return forms.shown("ask.html", form, **more)

    def ask() -> Response:
        body = forms.sent(fields, verb_forms.FORMS[verb])
        if action.destructive and (wrong := forms.typed(machine.hostname)):
            raise Unreadable(wrong.detail, [wrong])
        return _VIEWS[verb](MachineRef(machine=str(machine.id)), body)

    return forms.answered("ask.html", form, ask, _to_workflow, **more)


def _to_workflow(workflow: str) -> str:
    return url_for("flows.show", workflow=workflow)


def _fields(machine: MachineView, verb: str) -> Sequence[Field]:
    match verb:
        case Kind.PROVISION | Kind.REPROVISION:
            return _system(machine)
        case Kind.BOOT_SOURCE:
            sources = [(each, each) for each in BOOT_SOURCES]
            return (
                Field(pointer="/bootSource", label="Boot from", kind="select", options=sources),
                Field(pointer="/persistent", label="Always, not only next", kind="check"),
            )
        case Kind.IMAGE:
            hint = "Where its BMC fetches the image: http:// or https://."
            return (Field(pointer="/mediaUrl", label="Image URL", hint=hint, required=True),)
        case Kind.REMOTE_TASK:
            return (Field(pointer="/command", label="Command", required=True),)
        case _:
            return ()


def _system(machine: MachineView) -> Sequence[Field]:
    ask = Ask(limit=MOST)
    images = lists.images(architecture=machine.architecture, ask=ask)
    networks = lists.networks(site_id=machine.site_id, purpose="provisioning", ask=ask)
    only = [("", "the site's only one")] if len(networks) < 2 else []
    return (
        Field(
            pointer="/imageRef",
            label="Image",
            kind="select",
            options=[(each.ref, f"{each.name} ({each.ref})") for each in images],
            value=machine.image_ref or "",
            hint="" if images else f"No image for {machine.architecture}: sprout images create",
        ),
        Field(
            pointer="/profileRef",
            label="Profile",
            kind="select",
            options=[(each.ref, f"{each.name} ({each.ref})") for each in lists.profiles(ask=ask)],
            value=machine.profile_ref or "",
        ),
        Field(
            pointer="/networkId",
            label="Network",
            kind="select",
            options=[*only, *((str(each.id), f"{each.name} {each.cidr}") for each in networks)],
            value=str(machine.network_id or ""),
        ),
    )


def _approval(given: Sequence[ApprovalView], wanted: Consent | None) -> Sequence[Field]:
    if not given and wanted is None:
        return ()
    options = [(str(each.id), f"{each.decided_by}: {each.reason or 'approved'}") for each in given]
    if not options:
        options = [("", "none yet")]
    return (Field(pointer="/approvalId", label="Approval", kind="select", options=options),)


def _good(machine: MachineView, verb: str) -> list[ApprovalView]:
    about = {"machine_id": machine.id, "action": verb}
    return day2_queries.approvals(wanted=about, is_open=True)


def _consent(machine: MachineView, verb: str) -> Consent | None:
    return rules.consent(policy.in_force(), verb, machine.site_slug)


def _disk(machine: MachineView) -> str:
    chosen = {name: each for name, each in (machine.root_disk or {}).items() if each}
    disks = machine.facts.get("disks", ())
    named = {chosen.get("serial"), chosen.get("wwn")} - {None}
    its = [each for each in disks if {each.get("serial"), each.get("wwn")} & named]
    if found := its or (disks if not named else ()):
        return ", ".join(map(disk_words, found))
    return f"the disk {', '.join(map(str, named))}" if named else "its disk"


@blueprint.route("/machines/<uuid:machine>/approve", methods=["GET", "POST"])
@does("approval.create")
def approve(machine: UUID) -> ResponseReturnValue:
    """Give or refuse a word for one action on the machine."""
    view = queries.machine(machine)
    refusals.concerns(view.id, view.site_id)
    verb = request.values.get("/action") or request.args.get("action") or ""
    asked = [each for each in captions.lacking(among=frozenset({view.site_id}))
             if each.machine_id == view.id]  # fmt: skip
    verb = verb or (asked[0].action if asked else Kind.REBOOT.value)
    options = [(name, name) for name in ACTIONS if name != ALLOCATE]
    fields = (
        Field(pointer="/action", label="Action", kind="select", options=options, value=verb),
        _REASON,
        Field(
            pointer="/expiresInS",
            label="Good for, in seconds",
            kind="number",
            hint="Empty: as long as policy lets it be.",
        ),
    )
    more: dict[str, Any] = {
        "machine": view,
        "verb": verb,
        "action": ACTIONS.get(verb),
        "asked": asked,
        "wanted": _consent(view, verb),
        "me": auth.operator().name,
        "commands": frame.commands(
            "/v1/approvals",
            f"sprout approvals create --machine-id {view.hostname} --action {verb}",
        ),
    }
    form = Form(fields=fields)
    if request.method == "GET":
        return forms.shown("approve.html", form, **more)

    def ask() -> Response:
        decision = request.form.get("decision", "approved")
        fixed = {"machineId": str(view.id), "decision": decision}
        return approvals.create(forms.sent(fields, approvals.NewApproval, **fixed))

    return forms.answered("approve.html", form, ask, _to_approval, **more)


def _to_approval(approval: str) -> str:
    return url_for("consents.show", approval=approval)


@blueprint.post("/workflows/<uuid:workflow>/cancel")
@does("workflow.cancel")
def cancel(workflow: UUID) -> ResponseReturnValue:
    """End a running workflow; one that has ended meanwhile is shown as it is."""
    body = forms.sent((_REASON,), workflows.Cancellation)
    workflows.cancel(workflows.WorkflowRef(workflow=workflow), body)
    return Response(status=303, headers={"Location": _to_workflow(str(workflow))})
