"""The one door of all verbs: policy judges, the approval is used up, the workflow begins."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from models.audit import Caller
from models.bootplan import Document
from models.commands import begin, policy, walks
from models.commands.policy import Decision, Order
from models.commands.runs import Intent
from models.kinds import Kind, Progress
from models.lifecycle import Event
from models.tables import ActionExecution, Approval, Machine, Workflow
from models.workflows import AT_ONCE, LIFECYCLE

_BESIDE: Final = frozenset({Kind.MAINTENANCE, Kind.RESUME, Kind.CLEAR, Kind.DEALLOCATE})
"""Moves of the lifecycle that leave alone what else is done to the machine."""


def begun(
    caller: Caller,
    machine: Machine,
    kind: Kind,
    order: Order,
    params: Mapping[str, Any] | None = None,
) -> UUID:
    """Begin *kind* on *machine*, whose lock is held and whose state allows it; return its id.

    Raises Forbidden, or Unknown for an approval that is none.
    """
    decision = policy.permitted(caller, machine, kind.value, order)
    if kind in LIFECYCLE - _BESIDE:
        _supersede(machine, kind, caller)
    told = {**(params or {}), **_receipts(decision)}
    flow = begin.begun(machine, kind, caller, reason=order.reason, params=told)
    policy.use(decision, flow.id)
    _executed(flow, decision, order)
    if kind in AT_ONCE:
        walks.drive(walks.Walk(machine, flow, _nothing))
    return UUID(str(flow.id))


def _nothing(_intent: Intent) -> tuple[Document, ...]:
    raise AssertionError("what ends at once renders nothing")


def _receipts(decision: Decision) -> dict[str, Any]:
    """Return the receipts that the approval is bound to, for when the documents are rendered."""
    given = decision.asked.approval
    if given is None or not given.receipts:
        return {}
    row = Approval.get(Approval.id == given.id)
    return {"receipts": row.receipts}


def _executed(flow: Workflow, decision: Decision, order: Order) -> None:
    given = decision.asked.approval
    ActionExecution.record(
        id=uuid4(),
        action=decision.asked.action,
        machine_id=flow.machine_id,
        site_id=flow.site_id,
        workflow_id=flow.id,
        approval_id=None if given is None else given.id,
        decision_id=decision.id,
        parameters={name: value for name, value in order.parameters.items() if value is not None},
        requested_by=flow.requested_by,
        reason=order.reason,
    )


def _supersede(machine: Machine, kind: Kind, caller: Caller) -> None:
    """End what else is done to the machine: a late power-off must not meet an installation."""
    running = Workflow.select().where(
        (Workflow.machine_id == machine.id)
        & (Workflow.state == Progress.RUNNING.value)
        & ~Workflow.lifecycle
    )
    for flow in list(running):
        detail = f"superseded by {kind.value}"
        walks.end(machine, flow, Progress.CANCELLED, Event.CANCEL, caller, detail=detail)
