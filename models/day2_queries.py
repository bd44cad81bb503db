"""What was approved, judged and done: lists a part at a time, and one of each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from peewee import SQL

from models import tables as t
from models.commands.moves import now
from models.day2_views import ApprovalView, ExecutionView, PolicyDecisionView
from models.errors import NotFound
from models.kinds import Progress
from models.paging import FIRST, Ask, Order, Part
from models.queries import filled
from models.whereabouts import Sites


def _dated(of: str, word: str, column: Any, table: Any) -> Order:
    return Order(of, MappingProxyType({word: column}), table.id, f"-{word}")


APPROVALS: Final = _dated("approvals", "createdAt", t.Approval.created_at, t.Approval)
DECISIONS: Final = _dated("policy-decisions", "at", t.PolicyDecision.at, t.PolicyDecision)
EXECUTIONS: Final = _dated(
    "action-executions", "startedAt", t.ActionExecution.created_at, t.ActionExecution
)


def _wanted(table: Any, query: Any, among: Sites, wanted: Mapping[str, Any]) -> Any:
    """Return *query* of rows at the sites *among* whose columns are as *wanted*, by name."""
    if among is not None:
        query = query.where(table.site_id.in_(among))
    for name, value in wanted.items():
        if value is not None:
            query = query.where(getattr(table, name) == value)
    return query


def approvals(
    *,
    among: Sites = None,
    wanted: Mapping[str, Any],
    is_open: bool | None = None,
    ask: Ask = FIRST,
) -> Part[ApprovalView]:
    """Return approvals; *is_open*: those that still let something happen, or the others."""
    query = _wanted(t.Approval, t.Approval.select(), among, wanted)
    if is_open is not None:
        good = (
            (t.Approval.decision == "approved")
            & t.Approval.used_at.is_null()
            & (t.Approval.expires_at > now())
        )
        query = query.where(good if is_open else ~good)
    return APPROVALS.part(query, ask, lambda rows: [filled(ApprovalView, row) for row in rows])


def approval(approval_id: UUID) -> ApprovalView:
    """Return one approval.  Raises NotFound."""
    row = t.Approval.get_or_none(t.Approval.id == approval_id)
    return filled(ApprovalView, _one("approval", approval_id, row))


def policy_decisions(
    *, among: Sites = None, wanted: Mapping[str, Any], ask: Ask = FIRST
) -> Part[PolicyDecisionView]:
    query = _wanted(t.PolicyDecision, t.PolicyDecision.select(), among, wanted)
    return DECISIONS.part(
        query, ask, lambda rows: [filled(PolicyDecisionView, row) for row in rows]
    )


def policy_decision(decision_id: UUID) -> PolicyDecisionView:
    """Return one policy decision.  Raises NotFound."""
    row = t.PolicyDecision.get_or_none(t.PolicyDecision.id == decision_id)
    return filled(PolicyDecisionView, _one("policy-decision", decision_id, row))


def executions(
    *, among: Sites = None, wanted: Mapping[str, Any], ask: Ask = FIRST
) -> Part[ExecutionView]:
    query = _wanted(t.ActionExecution, _execution_rows(), among, wanted)
    return EXECUTIONS.part(query.objects(), ask, lambda rows: list(map(_execution, rows)))


def execution(execution_id: UUID) -> ExecutionView:
    """Return one action execution.  Raises NotFound."""
    row = _execution_rows().where(t.ActionExecution.id == execution_id).objects().first()
    return _execution(_one("action-execution", execution_id, row))


_LAST_TASK: Final = """
(SELECT {0} FROM tasks WHERE tasks.workflow_id = t1.workflow_id ORDER BY epoch DESC LIMIT 1)
"""


def _execution_rows() -> Any:
    return t.ActionExecution.select(
        t.ActionExecution,
        t.Workflow.state.alias("progress"),
        t.Workflow.detail.alias("detail"),
        t.Workflow.finished_at.alias("finished_at"),
        SQL(_LAST_TASK.format("agent_id")).alias("agent_id"),
        SQL(_LAST_TASK.format("result")).alias("result"),
    ).join(t.Workflow, on=(t.Workflow.id == t.ActionExecution.workflow_id))


def _execution(row: Any) -> ExecutionView:
    return filled(ExecutionView, row, progress=Progress(row.progress))


def _one(kind: str, ref: UUID, row: Any) -> Any:
    if row is None:
        raise NotFound(f"no {kind} {ref}", hint=f"List them with: sprout {kind}s list")
    return row
