"""How the engine carries a workflow on: each entry is one transaction under the machine's lock."""

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from peewee import DoesNotExist

from models import engine
from models.audit import ENGINE, REAPER, Caller
from models.commands import (
    addresses,
    agents,
    begin,
    contact,
    errands,
    events,
    holdings,
    inventories,
    leftover_keys,
    providing,
    releasing,
    runs,
    tasks,
)
from models.commands.moves import locked, move, noted, now
from models.commands.runs import Render
from models.database import database
from models.engine import Begin, Cursor, Finish, GiveUp, Outcome, Pass, Rest, Wait
from models.errors import DomainError, NotReady
from models.kinds import Kind, Progress
from models.lifecycle import Event
from models.observations import Seen
from models.steps import Decision, Party, Step, StepKind, Table
from models.tables import Agent, Machine, Observation, Run, Task, Workflow
from models.workflows import INSTALLS, of_params

_KNOWN: Final = frozenset(Seen)

OWED: Final = "owes_clean_up"
"""The parameter of a workflow that took the place of a clean-up, which its own bad end repeats."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One workflow under way inside a transaction: its rows, its table, and the renderer."""

    machine: Machine
    flow: Workflow
    render: Render

    @property
    def table(self) -> Table:
        return of_params(Kind(self.flow.kind), self.flow.params)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.flow.step, self.flow.attempt, Outcome(self.flow.outcome))


def advance(workflow_id: UUID, render: Render) -> None:
    """Carry a workflow on as far as it goes without waiting; safe to repeat."""
    with database.atomic():
        walk = _walk(workflow_id, render)
        if walk is not None:
            drive(walk)


def due(limit: int = 100) -> list[UUID]:
    """Return running workflows that are to be looked at now, the oldest first."""
    query = (
        Workflow.select(Workflow.id)
        .where((Workflow.state == Progress.RUNNING.value) & (Workflow.wake_at < now()))
        .order_by(Workflow.wake_at)
        .limit(limit)
    )
    return [row.id for row in query]


def expire(workflow_id: UUID, render: Render) -> None:
    """Do what time demands: try again, look again, or give up; the clock is read under the lock."""
    with database.atomic():
        walk = _walk(workflow_id, render)
        if walk is None or walk.flow.wake_at > now():
            return
        if walk.flow.attempt == 0:
            drive(walk)
        elif walk.flow.deadline_at > now() or walk.flow.outcome == Outcome.PAUSED.value:
            _wake(walk)
        else:
            _judge(walk)


def lose(task_id: UUID, render: Render) -> None:
    """Take a task from an agent whose lease is over, and have it granted anew."""
    known: Task | None = Task.get_or_none(Task.id == task_id)
    if known is None or known.machine_id is None:
        return
    with database.atomic():
        machine = locked(known.machine_id)
        flow = tasks.lose(machine, Task.get_by_id(task_id))
        if flow is not None:
            _wake(Walk(machine, flow, render))


def _wake(walk: Walk) -> None:
    """Go on before the deadline: after a rest, or where nobody could be asked."""
    flow = walk.flow
    step = walk.table.steps[flow.step]
    if flow.outcome == Outcome.PAUSED.value:
        drive(walk, rested=True)
    elif step.kind is StepKind.ASSIGNMENT and flow.task_id is None:
        tasks.grant(walk.machine, flow, step)
        flow.save()
    else:
        flow.wake_at = flow.deadline_at
        flow.save()
        drive(walk)


def _judge(walk: Walk) -> None:
    """The deadline has passed: unless the clock stood, try again or give up."""
    step = walk.table.steps[walk.flow.step]
    later = contact.postponed(walk.flow, step)
    if later is not None:
        walk.flow.wake_at = later
        walk.flow.save()
        return
    match engine.after_deadline(step, walk.cursor):
        case Begin(again, attempt):
            _abandon(walk.flow)
            _begin(walk, again, attempt)
            drive(walk)
        case GiveUp(lost):
            missed = "nobody did this in time:" if lost.party is Party.PERSON else "no sign of"
            why = walk.flow.detail or f"{missed} {lost.expects}"
            _fail(walk, f"{lost.name}: {why}", by=REAPER)
        case _:
            drive(walk)


def _walk(workflow_id: UUID, render: Render) -> Walk | None:
    known: Workflow | None = Workflow.get_or_none(Workflow.id == workflow_id)
    if known is None:
        return None
    machine = locked(known.machine_id)
    flow = Workflow.get_by_id(workflow_id)
    return Walk(machine, flow, render) if flow.state == Progress.RUNNING.value else None


def drive(walk: Walk, *, rested: bool = False) -> None:
    """Walk the table until something must be waited for, or the workflow ends."""
    while walk.flow.state == Progress.RUNNING.value:
        match engine.next_move(walk.table, walk.cursor, _seen(walk.flow), rested=rested):
            case Begin(step, attempt):
                _begin(walk, step, attempt)
                rested = False
            case Rest(step, seconds):
                _rest(walk, step, seconds)
            case Pass(step):
                _pass(walk, step)
            case GiveUp(step, because):
                _fail(walk, _reason(walk.flow, step, because))
            case Finish():
                _finish(walk)
            case Wait():
                return


def _seen(flow: Workflow) -> set[Seen]:
    """Return what the run's machine has shown; not what only a newer control has a name for."""
    if flow.run_id is None:
        return set()
    rows = (
        Observation.select(Observation.kind)
        .where(
            (Observation.run_id == flow.run_id)
            & (Observation.machine_id == flow.machine_id)
            & Observation.applied
        )
        .distinct()
    )
    return {Seen(row.kind) for row in rows if row.kind in _KNOWN}


def _begin(walk: Walk, step: Step, attempt: int) -> None:
    flow = walk.flow
    flow.attempt, flow.outcome, flow.task_id, flow.detail = attempt, Outcome.OPEN.value, None, ""
    flow.begun_at = now()
    flow.deadline_at = flow.begun_at + timedelta(seconds=step.deadline_s)
    flow.wake_at = flow.deadline_at
    flow.away_s = _away_s(flow, step)
    noted(walk.machine, Seen.STEP_BEGUN, {"step": step.name, "try": attempt}, flow=flow)
    if step.kind is StepKind.ASSIGNMENT:
        tasks.grant(walk.machine, walk.flow, step)
    elif step.errand is not None:
        errands.grant(walk.machine, walk.flow, step, providing.PARTS[step.errand].asked)
    elif step.decision is not None:
        _decide(walk, step.decision)
    flow.save()


def _away_s(flow: Workflow, step: Step) -> float:
    watcher = contact.watcher(flow, step)
    return 0.0 if watcher is None else float(Agent.get_by_id(watcher).away_s)


def _rest(walk: Walk, step: Step, seconds: float) -> None:
    flow = walk.flow
    told = {"step": step.name, "try": flow.attempt, "reason": flow.detail, "again_s": seconds}
    noted(walk.machine, Seen.STEP_FAILED, told, flow=flow)
    flow.outcome, flow.task_id = Outcome.PAUSED.value, None
    flow.wake_at = flow.deadline_at = now() + timedelta(seconds=seconds)
    flow.save()


def _decide(walk: Walk, decision: Decision) -> None:
    try:
        with database.atomic():
            _DECISIONS[decision](walk)
    except DomainError as exc:
        walk.flow.outcome, walk.flow.detail = Outcome.REFUSED.value, str(exc)
    except DoesNotExist as exc:
        # An image or a network that went as this was asked: it comes back by no second look.
        gone = f"what it was to go by is there no more: {type(exc).__name__}"
        walk.flow.outcome, walk.flow.detail = Outcome.REFUSED.value, gone
    else:
        walk.flow.outcome = Outcome.DONE.value


def _pass(walk: Walk, step: Step) -> None:
    noted(walk.machine, Seen.STEP_DONE, {"step": step.name}, flow=walk.flow)
    flow = walk.flow
    flow.step += 1
    flow.attempt, flow.outcome, flow.task_id, flow.detail = 0, Outcome.OPEN.value, None, ""
    flow.save()


def _reason(flow: Workflow, step: Step, because: Seen | None) -> str:
    if because is None:
        return f"{step.name}: {flow.detail or 'failed'}"
    row: Observation | None = (
        Observation.select()
        .where((Observation.run_id == flow.run_id) & (Observation.kind == because.value))
        .order_by(Observation.id.desc())
        .first()
    )
    data: dict[str, Any] = {} if row is None else row.data
    return f"{step.name}: {data.get('reason') or because.value}"


def _fail(walk: Walk, detail: str, *, by: Caller = ENGINE) -> None:
    noted(walk.machine, Seen.GAVE_UP, {"reason": detail}, flow=walk.flow)
    end(walk.machine, walk.flow, Progress.FAILED, Event.GAVE_UP, by, detail=detail)


def _finish(walk: Walk) -> None:
    flow = walk.flow
    flow.state, flow.finished_at = Progress.SUCCEEDED.value, now()
    flow.save()
    noted(walk.machine, Seen.STEP_DONE, {"workflow": flow.kind}, flow=flow)
    _told(walk.machine, flow)


def _told(machine: Machine, flow: Workflow) -> None:
    told = {"workflow": str(flow.id), "kind": flow.kind, "state": flow.state}
    detail = {"detail": flow.detail} if flow.detail else {}
    events.tell(machine, "workflow-ended", told | detail, request_id=flow.request_id)


def end(  # what ended, how, by whom and why
    machine: Machine, flow: Workflow, how: Progress, event: Event, by: Caller, *, detail: str
) -> None:
    """End *flow* without success: the machine moves, the run closes, its plan is withdrawn.

    What it may have left behind is undone by a workflow of its own, promised here.
    """
    cursor = Cursor(flow.step, flow.attempt)
    table = of_params(Kind(flow.kind), flow.params)
    flow.state, flow.detail, flow.finished_at = how.value, detail, now()
    flow.save()
    _abandon(flow)
    _told(machine, flow)
    if flow.lifecycle:
        move(machine, event, by, reason=detail, flow=flow)
    _close_run(machine, flow)
    if not engine.dirtied(table, cursor):
        holdings.undo(flow)
    owed = bool(flow.params.get(OWED))
    if table.clean_up is not None and engine.cleans_up(table, cursor, owed=owed):
        begin.begun(machine, table.clean_up, by, reason=detail, parent=flow)


def _abandon(flow: Workflow) -> None:
    tasks.abandon(flow)
    if any(step.errand is not None for step in of_params(Kind(flow.kind), flow.params).steps):
        errands.abandon(flow)


def _close_run(machine: Machine, flow: Workflow) -> None:
    if flow.run_id is None:
        return
    Run.update(ended_at=now(), phase=machine.phase).where(Run.id == flow.run_id).execute()
    leftover_keys.close(machine, flow)
    runs.withdraw(machine, request_id=flow.request_id)


def _prepare_run(walk: Walk) -> None:
    runs.prepare(walk.machine, walk.flow, walk.render)


def _record_inventory(walk: Walk) -> None:
    inventories.record_bmc(walk.machine, walk.flow)


def _prepare_inventory(walk: Walk) -> None:
    inventories.prepare(walk.machine, walk.flow, walk.render)


def _record_report(walk: Walk) -> None:
    inventories.record_report(walk.machine, walk.flow)


def _judge_findings(walk: Walk) -> None:
    inventories.judge(walk.machine)


def _find_able(walk: Walk) -> None:
    """Find an agent now: what no agent of the site can do is not waited for.  Raises NotReady."""
    capability = walk.table.steps[walk.flow.step].params["capability"]
    if not any(capability in agent.capabilities for agent in agents.live(walk.machine.site_id)):
        raise NotReady(f"the site has no agent with the capability {capability}")


def _prepare_wipe(walk: Walk) -> None:
    releasing.prepare(walk.machine, walk.flow, walk.render)


def _record_wipe(walk: Walk) -> None:
    releasing.record(walk.machine, walk.flow)


def _let_go(walk: Walk) -> None:
    releasing.let_go(walk.machine, walk.flow)


def _end_well(walk: Walk) -> None:
    event = walk.table.ends
    if event is not None:
        move(walk.machine, event, ENGINE, flow=walk.flow)
    if walk.flow.run_id is not None and walk.flow.kind in INSTALLS:
        addresses.activate(walk.machine)
    _close_run(walk.machine, walk.flow)


_DECISIONS: Final = MappingProxyType(
    {
        Decision.PREPARE_RUN: _prepare_run,
        Decision.RECORD_INVENTORY: _record_inventory,
        Decision.PREPARE_INVENTORY: _prepare_inventory,
        Decision.RECORD_REPORT: _record_report,
        Decision.JUDGE_FINDINGS: _judge_findings,
        Decision.FIND_ABLE: _find_able,
        Decision.PREPARE_WIPE: _prepare_wipe,
        Decision.RECORD_WIPE: _record_wipe,
        Decision.LET_GO: _let_go,
        Decision.FINISH: _end_well,
    }
)
