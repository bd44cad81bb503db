"""What an agent is asked to do at a BMC, and how it went."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from models.commands import agents
from models.commands.moves import now
from models.engine import Outcome
from models.errors import NotReady
from models.messages import Kind
from models.observations import Seen
from models.tables import Interface, Machine, Run, Task, Workflow
from models.workflows import Progress, Step

REDFISH: Final = "redfish"
"""The capability of an agent that drives BMCs."""

_NO_AGENT_S: Final = 30
"""Seconds between looks for an agent, while none of the site lives."""


def grant(machine: Machine, flow: Workflow, step: Step) -> None:
    """Hand *step* to the newest live agent, or look again soon while there is none."""
    try:
        owner = Run.get_by_id(flow.run_id).owner_id if flow.run_id else None
        agent = agents.newest_live(machine.site_id, REDFISH, sticky=owner)
    except NotReady as exc:
        flow.detail = str(exc)
        flow.deadline_at = now() + timedelta(seconds=_NO_AGENT_S)
        return
    params = dict(step.params) | dict(flow.params) | _identity(machine)
    task = Task.create(
        workflow_id=flow.id,
        machine_id=machine.id,
        site_id=machine.site_id,
        agent_id=agent.id,
        kind=step.task.value if step.task else "",
        params=params,
        epoch=flow.attempt,
        attempt=flow.attempt,
        state="granted",
        deadline_at=flow.deadline_at,
    )
    flow.task_id = task.id
    body = {
        "task": str(task.id),
        "kind": task.kind,
        "epoch": task.epoch,
        "attempt": task.attempt,
        "deadline_s": step.deadline_s,
        "machine": str(machine.id),
        "run": None if flow.run_id is None else str(flow.run_id),
        "params": params,
        "bmc": machine.bmc,
    }
    agents.send(
        agent.id,
        machine.site_id,
        Kind.TASK,
        body,
        machine=machine.id,
        run=flow.run_id,
        epoch=task.epoch,
        request_id=flow.request_id,
        expires_in_s=step.deadline_s,
    )


def _identity(machine: Machine) -> dict[str, Any]:
    rows = Interface.select(Interface.mac).where(Interface.machine_id == machine.id)
    system = (machine.facts or {}).get("system") or {}
    return {
        "macs": [row.mac for row in rows],
        "uuid": system.get("uuid") or "",
        "serial": system.get("serial") or "",
    }


def last_result(flow: Workflow) -> dict[str, Any]:
    """Return what the workflow's last finished task brought."""
    task: Task | None = (
        Task.select()
        .where((Task.workflow_id == flow.id) & (Task.state == "done"))
        .order_by(Task.finished_at.desc())
        .first()
    )
    return {} if task is None else dict(task.result or {})


def abandon(flow: Workflow) -> None:
    """Stop waiting for the workflow's open tasks; what they still report moves nothing."""
    Task.update(state="abandoned").where(
        (Task.workflow_id == flow.id) & Task.state.in_(["granted", "started"])
    ).execute()


def reported(machine: Machine, kind: Seen, data: Mapping[str, Any]) -> Workflow | None:
    """Record how a task goes; return the workflow that waited for it, None if none does."""
    task: Task | None = Task.get_or_none(
        (Task.id == UUID(str(data["task"]))) & (Task.machine_id == machine.id)
    )
    if task is None or task.state not in {"granted", "started"}:
        return None
    if kind is Seen.TASK_STARTED:
        task.state = "started"
        task.save()
        return _waiting(task)
    task.state = "done" if kind is Seen.TASK_DONE else "failed"
    task.result = dict(data.get("result") or {})
    task.finished_at = now()
    task.save()
    return _outcome(machine, task, kind, data)


def _waiting(task: Task) -> Workflow | None:
    flow: Workflow = Workflow.get_by_id(task.workflow_id)
    open_still = flow.task_id == task.id and flow.state == Progress.RUNNING.value
    return flow if open_still else None


def _outcome(machine: Machine, task: Task, kind: Seen, data: Mapping[str, Any]) -> Workflow | None:
    power = task.result.get("power")
    if power in {"on", "off"}:
        machine.power = power
        machine.save()
    flow = _waiting(task)
    if flow is None:
        return None
    if kind is Seen.TASK_DONE:
        flow.outcome = Outcome.DONE.value
    else:
        again = bool(data.get("retryable"))
        flow.outcome = (Outcome.FAILED if again else Outcome.REFUSED).value
        flow.detail = str(data.get("reason", ""))
    flow.save()
    return flow
