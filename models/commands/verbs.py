"""The one door of all verbs: policy judges, the approval is used up, the workflow begins."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from models.audit import Caller
from models.bootplan import Document
from models.commands import begin, handing_on, policy, traits, walks
from models.commands.policy import Decision, Order
from models.commands.runs import Intent
from models.errors import NotReady
from models.kinds import Kind, Progress
from models.lifecycle import Event
from models.steps import Table
from models.tables import ActionExecution, Approval, Machine, Workflow
from models.workflows import AT_ONCE, LIFECYCLE, of_params, switches_off, table_of

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

    Raises Forbidden, Unknown for an approval that is none, NotReady while the machine is being
    switched off and *kind* would leave it on, or IllegalTransition for one that failed and has not
    given back what *kind* would hand on.
    """
    decision = policy.permitted(caller, machine, kind.value, order)
    told = {**(params or {}), **_receipts(decision)}
    if kind in LIFECYCLE - _BESIDE:
        held = traits.of(machine, kind, told)
        told |= _superseded(machine, kind, caller, table_of(kind, held))
    handing_on.demand(machine, kind)
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


def _superseded(machine: Machine, kind: Kind, caller: Caller, table: Table) -> dict[str, Any]:
    """End what else is done to the machine: a late power-off must not meet an installation.

    Return what the workflow of *table* takes over by that.  Raises NotReady.
    """
    running = Workflow.select().where(
        (Workflow.machine_id == machine.id)
        & (Workflow.state == Progress.RUNNING.value)
        & ~Workflow.lifecycle
    )
    flows = list(running)
    owed = _owed(flows, table)
    for flow in flows:
        detail = f"superseded by {kind.value}"
        walks.end(machine, flow, Progress.CANCELLED, Event.CANCEL, caller, detail=detail)
    return {walks.OWED: True} if owed else {}


def _owed(flows: Iterable[Workflow], table: Table) -> bool:
    """Whether one of *flows* is switching off a machine that may still be writing its disk.

    Raises NotReady where *table* would leave it on.
    """
    for flow in flows:
        if flow.kind == Kind.CLEAN_UP.value and of_params(Kind.CLEAN_UP, flow.params).steps:
            if switches_off(table):
                return True
            raise NotReady(
                "the machine is being switched off, since it may still be writing its disk",
                hint=f"Wait for it, or leave it on: sprout workflows cancel {flow.id}",
            )
    return False
