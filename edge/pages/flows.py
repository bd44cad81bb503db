"""Workflows, and one of them: its steps, who acts, its log, the way to stop it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.api import workflows
from edge.pages import frame, listing, progress, standing
from models import answering, captions, lists, queries
from models.kinds import Kind, Progress
from models.steps import Step, StepKind
from models.views import WorkflowView
from models.why import why

blueprint: Final = Blueprint("flows", __name__)


@blueprint.get("/workflows")
@does("workflow.read")
def index() -> ResponseReturnValue:
    """Show what was asked of machines, and how it goes."""
    wanted = listing.wanted(workflows.WorkflowFilter, "workflow.read")
    found = workflows.found(wanted.query)
    return render_template(
        "flows.html",
        wanted=wanted,
        flows=found,
        hostnames=captions.hostnames({flow.machine_id for flow in found}),
        slugs=captions.slugs({flow.site_id for flow in found}),
        following=wanted.after(found.next),
        tones=progress.TONES,
        states=Progress,
        kinds=Kind,
        commands=frame.commands("/v1/workflows", "sprout workflows list", wanted.given),
    )


@blueprint.get("/workflows/<uuid:workflow>")
@does("workflow.read")
def show(workflow: UUID) -> ResponseReturnValue:
    """Show one workflow."""
    return page(workflow)


@blueprint.get("/ops/<uuid:workflow>")
@does("workflow.read")
def operation(workflow: UUID) -> ResponseReturnValue:
    """Show one operation of a host, which is its workflow."""
    return page(workflow)


def at(workflow: UUID) -> str:
    """Return where one workflow is looked at: among workflows, or as the operation of a host."""
    machine = queries.machine(queries.workflow(workflow).machine_id)
    endpoint = "flows.show" if machine.server_type is None else "flows.operation"
    return url_for(endpoint, workflow=workflow)


def page(workflow: UUID, **more: object) -> str:
    """Return the page of one workflow; *more* is what came of a form on it."""
    flow = queries.workflow(workflow)
    machine = queries.machine(flow.machine_id)
    rows, now = queries.log(flow, limit=progress.ROWS), datetime.now(UTC)
    path = f"/v1/workflows/{flow.id}"
    ended = flow.finished_at or now
    return render_template(
        "flow.html",
        flow=flow,
        machine=machine,
        called=standing.called(flow.kind, machine),
        took=max(0.0, (ended - flow.created_at).total_seconds()),
        why=why(machine, queries.agents(flow.site_id), rows, now)
        if machine.workflow is not None and machine.workflow.id == flow.id
        else None,
        stages=progress.stages(flow, rows, now),
        log=progress.log(rows, whole="whole" in request.args),
        output=progress.output(rows),
        here=request.full_path.rstrip("?"),
        params=_told(answering.shown(flow.params)),
        evidence=lists.evidence(machine.id, workflow_id=flow.id),
        tone=progress.TONES[flow.progress],
        to_confirm=_to_confirm(flow),
        may_cancel=may("workflow.cancel", flow.site_id) and flow.progress is Progress.RUNNING,
        commands=frame.commands(path, f"sprout workflows show {flow.id}"),
        **more,
    )


def _to_confirm(flow: WorkflowView) -> Step | None:
    """Return the step that a person is asked for, if the caller may say that it is done."""
    step = flow.step
    if step is None or step.kind is not StepKind.CONFIRMATION or flow.attempt == 0:
        return None
    running = flow.progress is Progress.RUNNING
    return step if running and may("workflow.confirm", flow.site_id) else None


_OURS: Final = frozenset({"argv", "allowed", "only_reads", "traits"})
"""What a workflow keeps for itself of what it was asked with."""


def _told(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a workflow was asked with, for a person: names, and no ids of what has one."""
    named = {
        name: each
        for name, each in params.items()
        if each and not name.endswith("_id") and name not in _OURS
    }
    for name, each in params.items():
        if isinstance(each, dict) and name in named:
            named |= _FLAT.get(name, _alone)(name, each)
    return [row for row in progress.fields(named) if row[1]]


def _in_one(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ", ".join(f"{each} {value}" for each, value in values.items() if value)}


def _each(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "", **values}


def _alone(_name: str, _values: Mapping[str, Any]) -> dict[str, Any]:
    return {}


_FLAT: Final[Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]] = MappingProxyType(
    {"disk": _in_one, "hardware": _each}
)
"""How what has parts is told: its parts in a row, or each by its own name."""
