"""Workflows: what was asked of a machine, step by step."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access, auth, refusals
from edge.api import writing
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Body, Line, Listing, Page, Path, Reason, SortOf, example
from models import answering, lists, queries
from models.commands import asks, confirming
from models.kinds import Kind, Progress
from models.paging import Part
from models.steps import Party, StepKind
from models.views import WorkflowView
from models.workflows import table_of

api: Final = resource("workflows", "What was asked of a machine, step by step.")

_AT: Final = "2025-06-01T12:00:00Z"
_MACHINE: Final = "018f6f45-3e4f-7051-8263-748596071829"
_WORKFLOW: Final = "018f6f46-4f50-7162-8374-859607182930"


class WorkflowRef(Path):
    workflow: Annotated[UUID, Field(description="The workflow's id.")]


class WorkflowFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    state: Progress | None = None
    kind: Kind | None = None
    sort: Annotated[str, SortOf(lists.WORKFLOWS)] = lists.WORKFLOWS.usual


class SeenFilter(Listing):
    kind: Annotated[Line | None, Field(description="What was seen, such as task-done.")] = None
    after: Annotated[int, Field(ge=0, le=2**63 - 1, description="Only rows above this id.")] = 0
    sort: Annotated[str, SortOf(lists.OBSERVATIONS)] = lists.OBSERVATIONS.usual


class Cancellation(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "wrong machine"}))

    reason: Reason = ""


class Confirmation(Body):
    model_config = ConfigDict(json_schema_extra=example({"step": "power-on"}))

    step: Annotated[Line, Field(description="The step that is done, so that it is no other one.")]
    reason: Reason = ""


class Step(Answer):
    name: str
    kind: StepKind
    expects: str
    party: Annotated[Party, Field(description="Who is waited for.")]
    deadline_s: Annotated[int, Field(description="Seconds that it may take.")]
    state: Literal["done", "running", "failed", "cancelled", "pending"]


class Workflow(Answer):
    """One thing asked of one machine; `stepIndex` is where it stands in `steps`."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": _WORKFLOW,
                "kind": "power-on",
                "machineId": _MACHINE,
                "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
                "runId": None,
                "state": "running",
                "stepIndex": 0,
                "steps": [
                    {
                        "name": "power-on",
                        "kind": "assignment",
                        "expects": "the BMC to report power on",
                        "party": "the site's agent",
                        "deadlineS": 180,
                        "state": "running",
                    }
                ],
                "attempt": 1,
                "detail": "",
                "params": {},
                "requestedBy": "admin",
                "reason": "",
                "requestId": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
                "begunAt": _AT,
                "deadlineAt": "2025-06-01T12:03:00Z",
                "createdAt": _AT,
                "finishedAt": None,
            }
        )
    )

    id: UUID
    kind: Kind
    machine_id: UUID
    site_id: UUID
    run_id: UUID | None
    state: Progress
    step_index: int
    steps: list[Step]
    attempt: int
    detail: Annotated[str, Field(description="Why it failed, if it did.")]
    params: dict[str, Any]
    requested_by: str
    reason: str
    request_id: str
    begun_at: Annotated[datetime, Field(description="When the current step began.")]
    deadline_at: Annotated[datetime, Field(description="Until when the current step may take.")]
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the workflow *view*."""
        assert isinstance(view, WorkflowView)  # noqa: S101 - for the type checker
        return cls(
            **{name: getattr(view, name) for name in cls.model_fields if name not in _OWN},
            state=view.progress,
            step_index=view.index,
            params=dict(answering.shown(view.params)),
            steps=_steps(view.kind, _traits(view.params), view.index, view.progress),
        )


_OWN: Final = frozenset({"state", "step_index", "params", "steps"})


def _traits(params: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(params.get("traits", ()))


@cache
def _steps(kind: Kind, traits: frozenset[str], index: int, progress: Progress) -> list[Step]:
    """Return the table of *kind* with *traits*, walked as far as *index*."""
    return [
        Step(
            name=step.name,
            kind=step.kind,
            expects=step.expects,
            party=step.party,
            deadline_s=step.deadline_s,
            state=_state(index, progress, number),
        )
        for number, step in enumerate(table_of(kind, traits).steps)
    ]


def written(document: Mapping[str, Any]) -> writing.Plain:
    """Return what Workflow writes, of a document of `models.documents`."""
    traits = _traits(document["params"])
    stands = (Kind(document["kind"]), traits, document["index"], Progress(document["progress"]))
    told = {
        "state": document["progress"],
        "step_index": document["index"],
        "params": answering.shown(document["params"]),
    }
    return _written({**document, **told, "steps": _steps(*stands)})


_written: Final = writing.writer(Workflow, steps=lambda steps: steps)


def _state(
    index: int, progress: Progress, number: int
) -> Literal["done", "running", "failed", "cancelled", "pending"]:
    if number < index or progress is Progress.SUCCEEDED:
        return "done"
    if number > index:
        return "pending"
    match progress:
        case Progress.FAILED:
            return "failed"
        case Progress.CANCELLED:
            return "cancelled"
        case _:
            return "running"


class Workflows(Page):
    items: list[Workflow]


class Observation(Answer):
    """Something seen of a machine: `at` by the clock of who saw it, `receivedAt` by ours."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": 42,
                "machineId": _MACHINE,
                "runId": None,
                "workflowId": _WORKFLOW,
                "source": "agent",
                "kind": "task-done",
                "at": _AT,
                "receivedAt": _AT,
                "applied": True,
                "data": {"result": {"power": "on"}},
            }
        )
    )

    id: int
    machine_id: UUID | None
    run_id: UUID | None
    workflow_id: UUID | None
    source: str
    kind: str
    at: datetime
    received_at: datetime
    applied: Annotated[bool, Field(description="False: kept, and moved nothing.")]
    data: dict[str, Any]


class Observations(Page):
    items: list[Observation]


@operation(
    api,
    "get",
    "/v1/workflows",
    "listWorkflows",
    answer=Workflows,
    refuses=("not-found",),
    action="workflow.read",
)
def index(query: WorkflowFilter) -> Response:
    """List workflows."""
    return answered(Workflows.showing(found(query)))


def found(query: WorkflowFilter) -> Part[WorkflowView]:
    """Return the workflows that *query* asks for, of those that the caller sees."""
    return lists.workflows(
        among=access.visible_sites(),
        site_id=queries.site_id(query.site_id),
        machine_id=None if query.machine_id is None else queries.machine(query.machine_id).id,
        state=query.state,
        kind=query.kind,
        ask=query.ask(),
    )


@operation(
    api, "get", "/v1/workflows/<workflow>", "getWorkflow", answer=Workflow, action="workflow.read"
)
def show(path: WorkflowRef) -> Response:
    """Show one workflow with its steps."""
    return answered(Workflow.of(queries.workflow(path.workflow)))


@operation(
    api,
    "get",
    "/v1/workflows/<workflow>/events",
    "listWorkflowEvents",
    answer=Observations,
    action="workflow.read",
)
def events(path: WorkflowRef, query: SeenFilter) -> Response:
    """List what was seen of one workflow, in order unless told."""
    flow = queries.workflow(path.workflow)
    found = lists.observations(
        workflow_id=flow.id, kind=query.kind, above=query.after, ask=query.ask()
    )
    return answered(Observations.showing(found))


@operation(
    api,
    "post",
    "/v1/workflows/<workflow>/cancel",
    "cancelWorkflow",
    answer=Workflow,
    refuses=("illegal-transition",),
    action="workflow.cancel",
)
def cancel(path: WorkflowRef, body: Cancellation) -> Response:
    """End a running workflow; its machine becomes failed, and late reports move nothing."""
    flow = queries.workflow(path.workflow)
    refusals.concerns(flow.machine_id, flow.site_id)
    asks.cancel(auth.caller(), path.workflow, reason=body.reason)
    return answered(Workflow.of(queries.workflow(path.workflow)), HTTPStatus.OK)


@operation(
    api,
    "post",
    "/v1/workflows/<workflow>/confirm",
    "confirmWorkflow",
    answer=Workflow,
    refuses=("illegal-transition",),
    action="workflow.confirm",
)
def confirm(path: WorkflowRef, body: Confirmation) -> Response:
    """Say that what the workflow asks of a person is done; confirming it again changes nothing."""
    flow = queries.workflow(path.workflow)
    refusals.concerns(flow.machine_id, flow.site_id)
    confirming.confirm(auth.caller(), path.workflow, body.step, reason=body.reason)
    return answered(Workflow.of(queries.workflow(path.workflow)), HTTPStatus.OK)
