"""What a site reports: kept once each, in any order; some of it carries a workflow on."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from peewee import DataError

from models.commands import (
    checks,
    contact,
    delays,
    discoveries,
    install_reports,
    restored,
    runs,
    syncs,
    tasks,
    walks,
)
from models.commands.moves import announce, further, locked
from models.commands.runs import Render
from models.database import database
from models.errors import DomainError, Invalid
from models.kinds import Progress
from models.messages import Envelope
from models.observations import URGENT, Observation, Seen, read
from models.phases import REACHED_BY
from models.tables import Interface, Machine, Plan, Run, Task, Workflow
from models.tables import Observation as Row
from models.workflows import INSTALLS, TABLES

MOVERS: Final = (
    URGENT
    | {Seen.PLAN_WITHDRAWN, Seen.PLAN_OUTDATED}
    | set(REACHED_BY)
    | {step.until for table in TABLES.values() for step in table.steps if step.until}
    | {bad for table in TABLES.values() for step in table.steps for bad in step.fails_on}
    | {told for table in TABLES.values() for step in table.steps for told in step.heeds}
)
"""Kinds that can carry a workflow on; all others are only kept."""

AHEAD_S: Final = 300
"""Seconds that a site's clock may be ahead before its times are cut to ours."""


BATCH: Final = 50
"""Reports of one transaction: fewer commits, and no lock that is held for long."""

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Report = tuple[int, Observation]
"""What was seen, with its number in the agent's journal."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of reports, and what they are taken in with."""

    envelope: Envelope
    incarnation: str
    render: Render


def receive(
    envelope: Envelope, render: Render, *, only: Collection[Seen] = frozenset(Seen)
) -> None:
    """Keep the reports of one message, and let each do what it does.  Safe to repeat.

    A row that cannot be read is kept as that.  Raises Invalid for a body that is not what an agent
    sends, for kinds that are not in *only*, and, after the others are kept, for rows without a
    number.
    """
    incarnation, reports, lost = _parsed(envelope.body)
    if any(seen.kind not in only for _, seen in reports):
        raise Invalid("a report that is not urgent came as one", field="/body/reports")
    contact.reports(envelope)
    letter = Letter(envelope, incarnation, render)
    for batch in _batches(reports):
        try:
            with database.atomic():
                _receive_all(letter, batch)
        except (DataError, DomainError):
            for each in batch:
                _receive_alone(letter, each)
    checks.keep(envelope, [seen for _, seen in reports if seen.kind is Seen.SITE_CHECKED])
    if lost:
        raise Invalid(f"{lost} of the reports have no number", field="/body/reports")


def _receive_alone(letter: Letter, report: Report) -> None:
    """One row that the database refuses must not take the others with it, nor its own meaning."""
    seq, seen = report
    try:
        with database.atomic():
            _receive_all(letter, [report])
    except DataError:
        with database.atomic():
            _receive_all(letter, [(seq, replace(seen, data={"unreadable": True}))])


def _batches(reports: Sequence[Report]) -> Iterator[Sequence[Report]]:
    return (reports[start : start + BATCH] for start in range(0, len(reports), BATCH))


def _receive_all(letter: Letter, batch: Sequence[Report]) -> None:
    """Take in *batch* in one transaction; machines are locked in one order by everybody."""
    owners = [_machine_of(letter.envelope.site, seen) for _, seen in batch]
    movers = {
        owner
        for owner, (_, seen) in zip(owners, batch, strict=True)
        if owner is not None and seen.kind in MOVERS
    }
    if any(seen.kind is Seen.MACHINE_DISCOVERED for _, seen in batch):
        discoveries.hold_back(letter.envelope.site)
    machines = {owner: locked(owner) for owner in sorted(movers)}
    jobs = syncs.hold(seen for _, seen in batch)
    tasks.hold(movers, jobs)
    strangers = []
    for owner, (seq, seen) in zip(owners, batch, strict=True):
        new = _receive_one(letter, seq, seen, owner, machines)
        if new and owner is None and seen.kind is Seen.MACHINE_DISCOVERED:
            strangers.append(seen)
        elif new and owner is None:
            syncs.reported(letter.envelope.agent, seen, jobs)
    discoveries.seen(letter.envelope, strangers)
    for owner in {owner for owner in owners if owner is not None}:
        announce(owner)


def _parsed(body: Mapping[str, Any]) -> tuple[str, list[Report], int]:
    """Return the incarnation, the rows, and how many had no number and thus no place."""
    try:
        said: list[Any] = list(body["reports"])
        incarnation = str(body["incarnation"])
    except (KeyError, TypeError) as exc:
        raise Invalid(f"the reports are malformed: {exc}", field="/body/reports") from exc
    numbered = [row for row in said if isinstance(row, Mapping) and _numbered(row.get("seq"))]
    return incarnation, [(row["seq"], read(row)) for row in numbered], len(said) - len(numbered)


def _numbered(seq: object) -> bool:
    return type(seq) is int and 0 <= seq < 2**63


def _receive_one(
    letter: Letter,
    seq: int,
    seen: Observation,
    owner: UUID | None,
    machines: Mapping[UUID, Machine],
) -> bool:
    """Keep one report, and let it do what it does; False when it was there already."""
    run = _run_of(owner, seen)
    if run is None and seen.run is not None:
        # Another machine's, or nobody's: it is kept as what was said, and belongs to no run.
        seen = replace(seen, run=None, data={**seen.data, "said_run": str(seen.run)})
        moves = False
    else:
        moves = owner is not None and seen.kind in MOVERS
    row = _kept(letter, seq, seen, owner, run)
    if row is None:
        return False
    if moves and owner is not None:
        applied = _applied(machines[owner], letter.envelope.agent, seen, letter.render)
        if not applied:
            Row.update(applied=False).where(Row.id == row).execute()
    return True


def _run_of(owner: UUID | None, seen: Observation) -> Run | None:
    """Return the run that was seen, if it is one of the machine that was."""
    if seen.run is None or owner is None:
        return None
    found: Run | None = Run.get_or_none((Run.id == seen.run) & (Run.machine_id == owner))
    return found


def _machine_of(site_id: UUID, observation: Observation) -> UUID | None:
    """Return the machine that the observation is of, if it belongs to *site_id*."""
    candidate = observation.machine
    if candidate is None and observation.run is not None:
        run: Run | None = Run.get_or_none(Run.id == observation.run)
        candidate = None if run is None else run.machine_id
    if candidate is None and observation.mac is not None:
        owner = Interface.select(Interface.machine_id).where(Interface.mac == observation.mac)
        interface: Interface | None = owner.first()
        candidate = None if interface is None else interface.machine_id
    of_site = Machine.select(Machine.id).where(
        (Machine.id == candidate) & (Machine.site_id == site_id)
    )
    return candidate if candidate is not None and of_site.exists() else None


def _kept(
    letter: Letter, seq: int, seen: Observation, machine_id: UUID | None, run: Run | None
) -> int | None:
    """Insert the row; None when it was there already."""
    inserted = (
        Row.insert(
            machine_id=machine_id,
            site_id=letter.envelope.site,
            run_id=None if run is None else run.id,
            workflow_id=_flow_of(letter, seen, run),
            agent_id=letter.envelope.agent,
            incarnation=letter.incarnation,
            seq=seq,
            source=seen.source.value,
            kind=seen.kind.value,
            at=_time(seen.at),
            data=dict(seen.data),
        )
        .on_conflict_ignore()
        .returning(Row.id)
        .execute()
    )
    return next((int(row.id) for row in inserted), None)


def _flow_of(letter: Letter, seen: Observation, run: Run | None) -> UUID | None:
    """Return the workflow whose log the row belongs in: of its run, or of what its task says."""
    if run is not None:
        return UUID(str(run.workflow_id))
    task = str(seen.data.get("task", ""))
    if seen.kind is not Seen.TASK_OUTPUT or not _ID.fullmatch(task):
        return None
    own = (Task.id == task) & (Task.machine_id == seen.machine)
    row: Task | None = (
        Task.select(Task.workflow_id).where(own & (Task.agent_id == letter.envelope.agent)).first()
    )
    return None if row is None else row.workflow_id


def _time(at: float) -> datetime:
    now = datetime.now(UTC).timestamp()
    return datetime.fromtimestamp(min(max(at, 0.0), now + AHEAD_S), UTC)


def _applied(machine: Machine, agent: UUID, seen: Observation, render: Render) -> bool:
    if seen.kind is Seen.PLAN_WITHDRAWN:
        runs.withdrawn(machine, agent, int(seen.data.get("version", 0)))
        return True
    if seen.kind is Seen.PLAN_OUTDATED:
        return restored.plan(machine, seen.data)
    if seen.kind in URGENT:
        restored.fence(machine, seen.data)
        flow = tasks.reported(machine, agent, seen.kind, seen.data)
    else:
        flow = _of_run(machine, agent, seen)
    if flow is not None:
        walks.drive(walks.Walk(machine, flow, render))
    return flow is not None


def _of_run(machine: Machine, agent: UUID, seen: Observation) -> Workflow | None:
    """Apply a sighting of a boot to the machine's open run; None for a run that is not open."""
    if seen.kind is Seen.PLAN_SERVED and not _served(machine, agent, seen):
        return None
    flow: Workflow | None = Workflow.get_or_none(
        (Workflow.run_id == seen.run) & (Workflow.state == Progress.RUNNING.value)
    )
    if seen.run is None or flow is None or machine.run_id != seen.run:
        return None
    if flow.kind in INSTALLS:
        further(machine, seen.kind, flow)
    delays.heed(flow, seen)
    if seen.kind in {Seen.INSTALL_FAILED, Seen.DEPLOY_FAILED}:
        # The deploy system switches the machine off after it told why: nobody saw it happen.
        machine.power = "unknown"
        machine.save()
    install_reports.heed(machine, seen)
    Run.update(phase=machine.phase).where(Run.id == seen.run).execute()
    return flow


def _served(machine: Machine, agent: UUID, seen: Observation) -> bool:
    """Whether it is the run's owner who says that he serves its plan, and no other plan."""
    plan: Plan | None = Plan.get_or_none(Plan.machine_id == machine.id)
    run: Run | None = Run.get_or_none((Run.id == seen.run) & (Run.owner_id == agent))
    if plan is None or run is None or plan.version != run.plan_version:
        return False
    told = seen.data
    return bool(
        told.get("version", plan.version) == plan.version
        and told.get("digest", plan.digest) == plan.digest
    )
