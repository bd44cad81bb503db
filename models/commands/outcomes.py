"""How errands end: recorded once, under the fence they were held by, with what follows of it.

Lock order: the machine of the errand's workflow, then the errand.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from models.commands import (
    handing_out,
    holdings,
    integrations,
    leftover_keys,
    preparing,
    providing,
    walks,
)
from models.commands.moves import locked, now
from models.commands.runs import Render
from models.database import database
from models.engine import Outcome
from models.errands import Ended, Held, rest_s
from models.errands import Errand as Name
from models.errors import DomainError
from models.kinds import Progress
from models.tables import Errand, Machine, Workflow

OUT_OF_TIME: Final = Ended(done=False, reason="it was not done in time", retryable=False)

End = Callable[[UUID, Ended], None]
"""Given the errand's subject and its last outcome, inside the transaction that records it."""

ENDS: Final[Mapping[Name, End]] = MappingProxyType(
    {
        Name.INTEGRATION_RUN: integrations.ended,
        Name.IMAGE_PREPARE: preparing.ended,
        Name.IPAM_RELEASE: holdings.undone,
        Name.DHCP_REMOVE: holdings.undone,
        Name.DNS_REMOVE: holdings.undone,
        Name.MACHINES_ALLOCATE: handing_out.ended,
        Name.MACHINE_RELEASE: holdings.undone,
        Name.RUN_KEY_REMOVE: leftover_keys.ended,
    }
)
"""What follows the end of errands that are no workflow's; nothing, where a name is not in it."""

_LONGEST: Final = 500


def settle(held: Held, ended: Ended, render: Render) -> bool:
    """Record how an errand ended; False when it is another's by now, and nothing was recorded."""
    with database.atomic():
        machine = _machine(held.id)
        row = _locked(held.id)
        if row is None or row.fence != held.fence or row.state != "running":
            return False
        _record(row, ended, machine, render)
    return True


def overdue(limit: int = 100, *, but: Collection[UUID] = ()) -> list[UUID]:
    """Return open errands of no workflow whose deadline has passed, of known names, *but* those."""
    late = Errand.finished_at.is_null() & (Errand.deadline_at < now())
    ours = Errand.workflow_id.is_null() & Errand.name.in_([name.value for name in Name])
    rows = Errand.select(Errand.id).where(late & ours & Errand.id.not_in(list(but))).limit(limit)
    return [row.id for row in rows]


def expire(errand_id: UUID, render: Render) -> None:
    """End an errand whose time is over, whoever holds it."""
    with database.atomic():
        row = _locked(errand_id)
        if row is not None and row.finished_at is None and row.deadline_at < now():
            _record(row, OUT_OF_TIME, None, render)


def _machine(errand_id: UUID) -> Machine | None:
    """Return the machine of the errand's workflow, locked; None where it is no workflow's."""
    query = Errand.select(Workflow.machine_id).join(
        Workflow, on=(Workflow.id == Errand.workflow_id)
    )
    found = query.where(Errand.id == errand_id).tuples().first()
    return None if found is None else locked(found[0])


def _locked(errand_id: UUID) -> Errand | None:
    return Errand.first_where("id = %s FOR UPDATE", errand_id)


def _record(row: Errand, ended: Ended, machine: Machine | None, render: Render) -> None:
    row.detail, row.result = ended.reason[:_LONGEST], dict(ended.result)
    if not ended.done and ended.retryable and row.attempt < row.tries:
        row.wake_at = now() + timedelta(seconds=rest_s(row.backoff_s, row.attempt))
        row.state, row.attempt = "waiting", row.attempt + 1
        row.save()
        return
    row.state, row.finished_at = ("done" if ended.done else "failed"), now()
    row.save()
    if machine is not None:
        _carry_on(row, ended, machine, render)
    elif (end := ENDS.get(Name(row.name))) is not None:
        end(row.subject, ended)


def _carry_on(row: Errand, ended: Ended, machine: Machine, render: Render) -> None:
    flow: Workflow = Workflow.get_by_id(row.workflow_id)
    if flow.task_id != row.id or flow.state != Progress.RUNNING.value:
        return
    flow.outcome, flow.detail = _judged(row, ended, machine, flow)
    flow.save()
    walks.drive(walks.Walk(machine, flow, render))


def _judged(row: Errand, ended: Ended, machine: Machine, flow: Workflow) -> tuple[str, str]:
    """Return the outcome of the workflow's step, and the words for it."""
    if not ended.done:
        if ended.untouched:
            holdings.never(flow, row.params.get("holding"))
        word = Outcome.FAILED if ended.retryable else Outcome.REFUSED
        return word.value, ended.reason[:_LONGEST]
    part = providing.PARTS[Name(row.name)]
    try:
        with database.atomic():
            part.record(machine, flow, ended.result)
    except DomainError as exc:
        part.refused(machine, flow, exc.hinted)
        return Outcome.REFUSED.value, exc.hinted[:_LONGEST]
    return Outcome.DONE.value, ""
