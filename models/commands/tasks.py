"""What an agent is asked to do at a BMC, under which lease, and how it went.

Rule 1: a machine has one task at a time, at whichever agent: the next is granted when the last has
        ended, or when its lease is surely over.
Rule 2: each grant has a higher epoch than all before it at that machine; an agent refuses a lower.
Rule 3: control waits RENEWED_S seconds after the last renewal it took; the agent counts LEASE_S
        from sending it, so that it has stopped by then.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from models import engine
from models.commands import agents, blobs, contact, identities, remote
from models.commands.moves import now
from models.engine import Outcome
from models.errors import NotReady
from models.kinds import Progress
from models.messages import Envelope, Kind
from models.observations import Seen
from models.steps import CAPABILITY, REDFISH, Step
from models.steps import Task as TaskKind
from models.tables import Machine, Run, Task, Workflow

LEASE_S: Final = 30
RENEWED_S: Final = LEASE_S + 5

LOOK_S: Final = 5
"""Seconds between looks for an agent, while none of the site lives."""

HELD: Final = ("granted", "started")


def grant(machine: Machine, flow: Workflow, step: Step) -> None:
    """Hand *step* to the newest live agent; look again later while none may have it."""
    flow.task_id, flow.outcome = None, Outcome.OPEN.value
    busy = busy_until(Task.machine_id == machine.id)
    if busy is not None:
        _later(flow, busy, "an earlier task at this machine has not ended")
        return
    try:
        owner = Run.get_by_id(flow.run_id).owner_id if flow.run_id else None
        avoid = last_loser(Task.workflow_id == flow.id)
        capability = needed(step.task, machine)
        agent = agents.newest_live(machine.site_id, capability, sticky=owner, avoid=avoid)
    except NotReady as exc:
        _later(flow, now() + timedelta(seconds=LOOK_S), str(exc))
        return
    task = _made(machine, flow, step, agent.id)
    flow.task_id, flow.detail, flow.wake_at = task.id, "", flow.deadline_at
    flow.away_s = agent.away_s
    _send(machine, flow, task, step)


def needed(task: str | None, machine: Machine) -> str:
    """Return the capability that an agent must have for *task* at *machine*."""
    spoken = protocol(machine)
    return CAPABILITY.get(TaskKind(task), spoken) if task else spoken


def protocol(machine: Machine) -> str:
    """Return what the machine's BMC speaks: the capability of agents that drive it."""
    return str((machine.bmc or {}).get("protocol") or REDFISH)


def last_loser(which: Any) -> UUID | None:
    """Return the agent that was the last to lose one of the tasks that are meant."""
    lost = Task.select(Task.agent_id).where(which & (Task.state == "lost"))
    row: Task | None = lost.order_by(Task.epoch.desc()).first()
    return None if row is None else row.agent_id


def busy_until(which: Any) -> datetime | None:
    """Return until when an agent may still be at one of the tasks that are meant."""
    row: Task | None = (
        Task.select(Task.lease_expires_at)
        .where(which & Task.finished_at.is_null() & (Task.lease_expires_at > now()))
        .order_by(Task.lease_expires_at.desc())
        .first()
    )
    return None if row is None else row.lease_expires_at


def _later(flow: Workflow, when: datetime, why: str) -> None:
    flow.detail = why
    flow.wake_at = min(when, flow.deadline_at)


def _made(machine: Machine, flow: Workflow, step: Step, agent: UUID) -> Task:
    machine.fence += 1
    machine.save()
    made: Task = Task.create(
        workflow_id=flow.id,
        machine_id=machine.id,
        site_id=machine.site_id,
        agent_id=agent,
        kind=step.task.value if step.task else "",
        params=dict(step.params) | dict(flow.params) | identities.of(machine) | remote.host(flow),
        epoch=machine.fence,
        attempt=flow.attempt,
        state="granted",
        lease_expires_at=now() + timedelta(seconds=RENEWED_S),
        deadline_at=flow.deadline_at,
    )
    return made


def _send(machine: Machine, flow: Workflow, task: Task, step: Step) -> None:
    left = max(1.0, (flow.deadline_at - now()).total_seconds())
    body = {
        "deadline_s": min(float(step.deadline_s), left),
        "machine": str(machine.id),
        "run": None if flow.run_id is None else str(flow.run_id),
        "params": task.params,
        "bmc": machine.bmc,
        "upload": blobs.upload(task.id, machine.site_id, now()),
    }
    send(task, body, request_id=flow.request_id, left_s=left)


def send(task: Task, body: Mapping[str, Any], *, request_id: str, left_s: float) -> None:
    """Promise *task* to its agent: its ids, its lease, and *body*; it has *left_s* seconds."""
    ids = {"task": str(task.id), "kind": task.kind, "epoch": task.epoch, "attempt": task.attempt}
    agents.send(
        task.agent_id,
        task.site_id,
        Kind.TASK,
        {**ids, "lease_s": LEASE_S, **body},
        machine=task.machine_id,
        run=None if body.get("run") is None else UUID(body["run"]),
        epoch=task.epoch,
        request_id=request_id,
        expires_in_s=min(left_s, RENEWED_S),
    )


def renew(envelope: Envelope) -> None:
    """Take a renewal: extend what its agent still holds, and answer with the list of it."""
    asked = [UUID(str(each["task"])) for each in envelope.body.get("tasks", ())]
    held = _locked(
        Task.id.in_(asked) & (Task.agent_id == envelope.agent) & (Task.site_id == envelope.site)
    )
    Task.update(lease_expires_at=now() + timedelta(seconds=RENEWED_S)).where(
        Task.id.in_([row.id for row in held])
    ).execute()
    tasks = [{"task": str(row.id), "epoch": row.epoch} for row in held]
    body = {"n": int(envelope.body.get("n", 0)), "tasks": tasks}
    agents.send(envelope.agent, envelope.site, Kind.RENEWED, body, expires_in_s=LEASE_S)


def hold(machines: Collection[UUID], jobs: Collection[UUID] = ()) -> None:
    """Lock what agents hold of *machines* and of sync *jobs*, before any of it is changed.

    Renewals and batches of reports change many tasks each: but for the same order of locks they
    would deadlock.
    """
    _locked(Task.machine_id.in_(machines) | Task.sync_job_id.in_(list(jobs)))


def _locked(which: Any) -> list[Task]:
    """Return the held tasks that are meant, locked in the order of their ids."""
    held = Task.select(Task.id, Task.epoch).where(which & Task.state.in_(HELD))
    return list(held.order_by(Task.id).for_update())


def lapsed(limit: int = 100, *, of: Any = Task.machine_id) -> list[UUID]:
    """Return tasks of machines whose lease is over, the oldest first; or *of* sync jobs."""
    over = Task.state.in_(HELD) & (Task.lease_expires_at < now()) & ~of.is_null()
    query = Task.select(Task.id).where(over).order_by(Task.lease_expires_at).limit(limit)
    return [row.id for row in query]


def lapses_in_s(at_most: float) -> float:
    """Return the seconds until the next lease will be over, never more than *at_most*."""
    coming = Task.state.in_(HELD) & (Task.lease_expires_at > now())
    first: Task | None = (
        Task.select(Task.lease_expires_at).where(coming).order_by(Task.lease_expires_at).first()
    )
    if first is None or first.lease_expires_at is None:
        return at_most
    left: float = (first.lease_expires_at - now()).total_seconds()
    return min(at_most, max(0.0, left))


def lose(machine: Machine, task: Task) -> Workflow | None:
    """Take a task from an agent that no longer holds it; return the workflow to carry on."""
    if not taken(task, needed(task.kind, machine)):
        return None
    flow = _waiting(task)
    if flow is not None:
        why = f"agent {contact.of(task.agent_id).hostname} lost its lease"
        _again(flow, task, why, begun=task.state != "granted")
    return flow


def taken(task: Task, capability: str) -> bool:
    """Take *task* from its agent, whose lease is over; whether it was taken.

    While no other agent lives that has *capability*, and this one is out of contact, it keeps the
    task: what it did lies in its spool, and nobody could do it again anyway.
    """
    holder = contact.of(task.agent_id)
    able = [a for a in agents.live(task.site_id) if capability in a.capabilities]
    if not able or (not holder.judged and all(a.id == task.agent_id for a in able)):
        _if_lapsed(task, lease_expires_at=now() + timedelta(seconds=LOOK_S))
        return False
    return _if_lapsed(task, state="lost", finished_at=now())


def _if_lapsed(task: Task, **values: Any) -> bool:
    """Set *values* unless the lease was renewed meanwhile; whether it was not."""
    lapsed_still = Task.state.in_(HELD) & (Task.lease_expires_at < now())
    return bool(Task.update(**values).where((Task.id == task.id) & lapsed_still).execute())


def _again(flow: Workflow, task: Task, why: str, *, begun: bool) -> None:
    """Have the step granted anew, unless that could do twice what is to be done once at most."""
    if not (begun and remote.once(task)):
        regrant(flow, why)
        return
    flow.outcome, flow.detail = Outcome.REFUSED.value, f"nobody knows whether it was run: {why}"
    flow.save()


def regrant(flow: Workflow, why: str) -> None:
    """Have the step granted anew within the same try: nothing is known to have failed."""
    flow.task_id, flow.outcome, flow.detail, flow.wake_at = None, Outcome.OPEN.value, why, now()
    flow.save()


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
    """Stop waiting for the workflow's open tasks, and tell their agents.

    What they still report moves nothing; until then, or until the lease is over, the machine's
    next task waits.
    """
    called_off(Task.workflow_id == flow.id, request_id=flow.request_id)


def called_off(which: Any, *, request_id: str) -> None:
    """Have the agents of those tasks that are meant, and held, do nothing more."""
    rows = (
        Task.update(state="abandoned").where(which & Task.state.in_(HELD)).returning(Task).execute()
    )
    for task in rows:
        agents.send(
            task.agent_id,
            task.site_id,
            Kind.CANCEL,
            {"task": str(task.id), "epoch": task.epoch},
            machine=task.machine_id,
            epoch=task.epoch,
            request_id=request_id,
            expires_in_s=RENEWED_S,
        )


def reported(machine: Machine, agent: UUID, kind: Seen, data: Mapping[str, Any]) -> Workflow | None:
    """Record how a task goes; return the workflow that waited for it, None if none does."""
    task: Task | None = Task.get_or_none(
        (Task.id == UUID(str(data["task"])))
        & (Task.machine_id == machine.id)
        & (Task.agent_id == agent)
    )
    if task is None or task.finished_at is not None:
        return None
    if kind is Seen.TASK_STARTED:
        Task.update(state="started").where(
            (Task.id == task.id) & (Task.state == "granted")
        ).execute()
        return _waiting(task)
    held, begun = task.state in HELD, task.state != "granted"
    task.state = ("done" if kind is Seen.TASK_DONE else "failed") if held else task.state
    task.result = dict(data.get("result") or {})
    task.finished_at = now()
    task.save()
    _see_power(machine, task)
    _wake(machine)
    return _outcome(task, kind, data, begun=begun) if held else None


def _waiting(task: Task) -> Workflow | None:
    flow: Workflow = Workflow.get_by_id(task.workflow_id)
    open_still = flow.task_id == task.id and flow.state == Progress.RUNNING.value
    return flow if open_still else None


def _see_power(machine: Machine, task: Task) -> None:
    power = task.result.get("power")
    if power in {"on", "off"}:
        machine.power = power
        machine.save()


def _wake(machine: Machine) -> None:
    """Let who waits for the machine's last task look again."""
    Workflow.update(wake_at=now()).where(
        (Workflow.machine_id == machine.id)
        & (Workflow.state == Progress.RUNNING.value)
        & Workflow.task_id.is_null()
        & (Workflow.outcome == engine.Outcome.OPEN.value)
        & (Workflow.attempt > 0)
    ).execute()


def _outcome(task: Task, kind: Seen, data: Mapping[str, Any], *, begun: bool) -> Workflow | None:
    flow = _waiting(task)
    if flow is None:
        return None
    if kind is Seen.TASK_DONE:
        flow.outcome = Outcome.DONE.value
    elif _says_nothing(data):
        _again(flow, task, str(data.get("reason", "")), begun=begun)
        return flow
    else:
        again = bool(data.get("retryable"))
        flow.outcome = (Outcome.FAILED if again else Outcome.REFUSED).value
        flow.detail = str(data.get("reason", ""))
    flow.save()
    return flow


def _says_nothing(data: Mapping[str, Any]) -> bool:
    """Whether a failure says nothing of the machine: the next epoch reads back, and decides."""
    return any(bool(data.get(word)) for word in ("unknown", "lost", "cancelled"))
