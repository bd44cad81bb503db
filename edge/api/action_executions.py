"""Action executions: each verb that was let through, on whose word, how it went, its evidence."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access
from edge.api.approvals import OfMachines
from edge.api.contract import answered, operation, resource
from edge.api.evidence import EvidenceList
from edge.api.fields import Answer, Listing, Page, Path, SortOf, example
from models import day2_queries, lists
from models.day2_views import ExecutionView
from models.kinds import Progress

api: Final = resource("action executions", "Each verb that was let through, and how it went.")


class ExecutionRef(Path):
    execution: Annotated[UUID, Field(description="The execution's id.")]


class ExecutionFilter(OfMachines):
    sort: Annotated[str, SortOf(day2_queries.EXECUTIONS)] = day2_queries.EXECUTIONS.usual


class ActionEvidence(Listing):
    sort: Annotated[str, SortOf(lists.EVIDENCE)] = lists.EVIDENCE.usual


class ActionExecution(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f4a-8394-75a6-8798-c92a41526374",
                "action": "reboot",
                "machineId": "018f6f45-3e4f-7051-8263-748596071829",
                "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
                "workflowId": "018f6f46-4f50-7162-8374-859607182930",
                "approvalId": "018f6f48-6172-7384-8596-a70819304152",
                "policyDecisionId": "018f6f49-7283-7495-8697-b81930415263",
                "parameters": {},
                "requestedBy": "admin",
                "reason": "kernel update",
                "state": "succeeded",
                "detail": "",
                "agentId": "018f6f40-1a2b-7c3d-8e4f-506172839405",
                "result": {"power": "on"},
                "startedAt": "2025-06-01T12:00:00Z",
                "finishedAt": "2025-06-01T12:00:09Z",
            }
        )
    )

    id: UUID
    action: str
    machine_id: UUID
    site_id: UUID
    workflow_id: UUID
    approval_id: UUID | None
    policy_decision_id: UUID
    parameters: dict[str, Any]
    requested_by: str
    reason: str
    state: Progress
    detail: Annotated[str, Field(description="Why it failed, if it did.")]
    agent_id: Annotated[UUID | None, Field(description="Who had its last task.")]
    result: Annotated[dict[str, Any] | None, Field(description="What its last task brought.")]
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the execution *view*."""
        assert isinstance(view, ExecutionView)  # noqa: S101 - for the type checker
        named = {
            "state": view.progress,
            "started_at": view.created_at,
            "policy_decision_id": view.decision_id,
        }
        return cls(**{n: getattr(view, n) for n in cls.model_fields if n not in named}, **named)


class ActionExecutions(Page):
    items: list[ActionExecution]


@operation(
    api,
    "get",
    "/v1/action-executions",
    "listActionExecutions",
    answer=ActionExecutions,
    refuses=("not-found",),
    action="action-execution.read",
)
def index(query: ExecutionFilter) -> Response:
    """List action executions."""
    found = day2_queries.executions(
        among=access.visible_sites(), wanted=query.wanted(), ask=query.ask()
    )
    return answered(ActionExecutions.showing(found))


@operation(
    api,
    "get",
    "/v1/action-executions/<execution>",
    "getActionExecution",
    answer=ActionExecution,
    action="action-execution.read",
)
def show(path: ExecutionRef) -> Response:
    """Show one action execution."""
    return answered(ActionExecution.of(day2_queries.execution(path.execution)))


@operation(
    api,
    "get",
    "/v1/action-executions/<execution>/evidence",
    "listActionEvidence",
    answer=EvidenceList,
    action="action-execution.read",
)
def evidence(path: ExecutionRef, query: ActionEvidence) -> Response:
    """List what the tasks of an action execution brought up."""
    known = day2_queries.execution(path.execution)
    found = lists.evidence(known.machine_id, workflow_id=known.workflow_id, ask=query.ask())
    return answered(EvidenceList.showing(found))
