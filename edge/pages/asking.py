"""What may be asked of a machine: each verb says what will happen, and who must agree to it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from edge import auth, refusals
from edge.access import does, may
from edge.api import approvals, machine_verbs, verb_forms, workflows
from edge.api.machine_forms import MachineRef
from edge.pages import asked, flows, forms, frame, outlook
from edge.pages.forms import Field, Form
from models import captions, queries
from models.actions import ACTIONS, ALLOCATE
from models.kinds import Kind
from models.views import MachineView

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


_STEP: Final = Field(pointer="/step", label="Step")
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
    action = ACTIONS[verb]
    own = asked.of(machine, verb)
    foreseen = outlook.of(machine, verb, asked.chosen(own))
    fields = [*own, *asked.approval(foreseen), _REASON]
    if action.destructive:
        fields.append(Field(pointer=forms.TYPED, label="Host name, to be sure", required=True))
    form = Form(fields=fields)
    more = {
        "machine": machine,
        "verb": verb,
        "action": action,
        "outlook": foreseen,
        "may_approve": may("approval.create", machine.site_id),
        "commands": frame.commands(
            f"/v1/machines/{machine.id}/{verb}", f"sprout machines {verb} {machine.hostname}"
        ),
    }
    if request.method == "GET":
        return forms.shown("ask.html", form, **more)

    def ask() -> Response:
        body = forms.sent(fields, verb_forms.FORMS[verb])
        if action.destructive:
            forms.demand_typed(machine.hostname, "host name")
        return _VIEWS[verb](MachineRef(machine=str(machine.id)), body)

    return forms.answered("ask.html", form, ask, _to_workflow, **more)


def _to_workflow(workflow: str) -> str:
    return url_for("flows.show", workflow=workflow)


@blueprint.route("/machines/<uuid:machine>/approve", methods=["GET", "POST"])
@does("approval.create")
def approve(machine: UUID) -> ResponseReturnValue:
    """Give or refuse a word for one action on the machine."""
    view = queries.machine(machine)
    refusals.concerns(view.id, view.site_id)
    verb = request.values.get("/action") or request.args.get("action") or ""
    waiting = [each for each in captions.lacking(among=frozenset({view.site_id}))
             if each.machine_id == view.id]  # fmt: skip
    verb = verb or (waiting[0].action if waiting else Kind.REBOOT.value)
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
        "asked": waiting,
        "wanted": outlook.consent(view, verb),
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


@blueprint.post("/workflows/<uuid:workflow>/confirm")
@does("workflow.confirm")
def confirm(workflow: UUID) -> ResponseReturnValue:
    """Say that the step which the form named is done."""
    body = forms.sent((_STEP, _REASON), workflows.Confirmation)
    workflows.confirm(workflows.WorkflowRef(workflow=workflow), body)
    return redirect(flows.at(workflow), 303)


@blueprint.post("/workflows/<uuid:workflow>/cancel")
@does("workflow.cancel")
def cancel(workflow: UUID) -> ResponseReturnValue:
    """End a running workflow; one that has ended meanwhile is shown as it is."""
    body = forms.sent((_REASON,), workflows.Cancellation)
    workflows.cancel(workflows.WorkflowRef(workflow=workflow), body)
    return redirect(flows.at(workflow), 303)
