"""Machines that are handed out with the word of an external allocator.

Rule 1: machines are chosen and locked here, all or none; the allocator is asked after that.
Rule 2: until it agrees nothing is installed on them; if it refuses one, all are given back.
Rule 3: it is told of each machine that is free again, whatever way led there (`holdings.sweep`);
        until it has heard that, the machine is not handed out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

from models import audit
from models.audit import Caller
from models.commands import errands, holdings, providing
from models.commands.holdings import ALLOCATION
from models.commands.moves import move
from models.errands import Ended, Errand
from models.errors import NotReady
from models.lifecycle import Event, State
from models.tables import Errand as ErrandRow
from models.tables import Holding, Machine

PATIENCE_S: Final = 24 * 3600
"""Seconds for which the allocator is asked; then the machines are given back."""

_TRIES: Final = 10_000
_IDLE: Final = frozenset({State.REGISTERED, State.AVAILABLE})


def ask(machines: Sequence[Machine], caller: Caller) -> None:
    """Have the allocator asked for *machines*, which are locked and allocated; in one errand."""
    if not machines or ALLOCATION not in providing.capabilities():
        return
    order = uuid4()
    errands.ask(
        Errand.MACHINES_ALLOCATE,
        order,
        f"{order}/allocate",
        params={"items": [_asked(machine, order) for machine in machines]},
        deadline_s=PATIENCE_S,
        tries=_TRIES,
        site_id=machines[0].site_id,
        request_id=caller.request_id,
    )


def _asked(machine: Machine, order: UUID) -> dict[str, Any]:
    told = {"machine": str(machine.id), "labels": dict(machine.labels)}
    key = f"{order}/{machine.id}"
    return holdings.item(
        holdings.noted(ALLOCATION, machine, order, key, name=machine.hostname, params=told)
    )


def demand_agreed(machine: Machine) -> None:
    """Return unless the machine is allocated and the allocator has not agreed.  Raises NotReady."""
    if machine.state != State.ALLOCATED.value:
        return
    if any(row.state == "asked" for row in holdings.of(machine, ALLOCATION)):
        raise NotReady(
            f"the external allocator has not agreed yet that {machine.hostname} is handed out",
            hint=f"What it waits for: sprout why {machine.hostname}",
        )


def ended(order: UUID, how: Ended) -> None:
    """Take in what the allocator said of all machines of an order.

    Keeps them, or gives all of them back: at once those that it never gave, by its word the others.
    """
    rows = list(
        Holding.select()
        .where((Holding.workflow_id == order) & (Holding.state == "asked"))
        .order_by(Holding.name)
    )
    held = {str(key): value for key, value in (how.result.get("held") or {}).items()}
    refused = str(how.result.get("refused") or "")
    if how.done and not refused:
        for row in rows:
            holdings.kept(row, {**how.result, "external_id": held.get(str(row.id), "")})
        return
    why = f"the external allocator did not agree: {refused or how.reason}"
    by = replace(audit.ENGINE, request_id=_request(order))
    for row in rows:
        _given_back(row, by, why, held, known=how.done)


def _given_back(
    row: Holding, by: Caller, why: str, held: Mapping[str, Any], *, known: bool
) -> None:
    """*known*: what is not in *held* was surely not given."""
    machine = Machine.first_where("id = %s FOR NO KEY UPDATE", str(row.machine_id))
    if machine is not None and machine.state == State.ALLOCATED.value:
        move(machine, Event.DEALLOCATE, by, reason=why[:500])
    row.detail, row.external_id = why[:500], str(held.get(str(row.id), ""))[:200]
    row.save()
    if known and not row.external_id:
        holdings.gone([row.id])
    else:
        holdings.take_back([row])


def _request(order: UUID) -> str:
    row: ErrandRow | None = ErrandRow.get_or_none(ErrandRow.subject == order)
    return "" if row is None else str(row.request_id)


def words(machine_id: UUID, state: State) -> str:
    """Return what is to be said of the machine's allocation elsewhere; empty: nothing."""
    latest: Holding | None = (
        Holding.select()
        .where((Holding.machine_id == machine_id) & (Holding.capability == ALLOCATION))
        .order_by(Holding.created_at.desc())
        .first()
    )
    if latest is None:
        return ""
    if latest.state == "asked":
        return f"The external allocator has not agreed yet{_trouble(latest.workflow_id)}."
    if latest.state == "leaving":
        return f"It is being given back to the external allocator{_trouble(latest.id)}."
    return f"It was given back: {latest.detail}." if latest.detail and state in _IDLE else ""


def _trouble(subject: UUID) -> str:
    errand: ErrandRow | None = (
        ErrandRow.select()
        .where(ErrandRow.subject == subject)
        .order_by(ErrandRow.created_at.desc())
        .first()
    )
    if errand is None or not errand.detail:
        return ""
    return f", tried {errand.attempt - 1} times: {errand.detail}"
