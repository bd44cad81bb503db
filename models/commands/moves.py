"""The one writer of a machine's state, and its timeline."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import audit
from models.audit import Caller
from models.commands import events
from models.database import database
from models.errors import NotFound
from models.lifecycle import Event, State, next_state
from models.observations import Seen, Source
from models.phases import Phase, advance
from models.tables import Machine, Observation, Workflow

PHASE_AFTER: Final[Mapping[Event, Phase]] = MappingProxyType(
    {
        Event.PROVISION: Phase.PXE_READY,
        Event.PROVISIONED: Phase.READY,
        Event.COMMISSION: Phase.REGISTERED,
        Event.RELEASED: Phase.REGISTERED,
        Event.CLEAR: Phase.REGISTERED,
    }
)
"""What an event does to the phase; whatever ends a run in failure sets `failed`."""

_SAID: Final = frozenset({Seen.ASKED, Seen.CONFIRMED, Seen.CANCELLED})
"""Kinds that a person causes, and not control."""

CHANNEL: Final = "sprout_events"


def locked(machine_id: UUID) -> Machine:
    """Return the machine's row, locked until the transaction ends.  Raises NotFound."""
    # Its key stays as it is: rows that refer to the machine are inserted without waiting, and so
    # without a part in any deadlock.
    row = Machine.first_where("id = %s FOR NO KEY UPDATE", str(machine_id))
    if row is None:
        raise NotFound(f"no machine {machine_id}", hint="List them with: sprout machines list")
    return row


def move(
    machine: Machine, event: Event, by: Caller, *, reason: str = "", flow: Workflow | None = None
) -> State:
    """Move *machine* and write it down.  Nothing else assigns Machine.state.

    What the engine does for *flow* bears the id of the request that asked for it.  The caller holds
    the row's lock.  Raises IllegalTransition.
    """
    if flow is not None and not by.request_id:
        by = replace(by, request_id=flow.request_id)
    before = State(machine.state)
    came_from = None if machine.came_from is None else State(machine.came_from)
    after = next_state(
        before, event, came_from=came_from, commissioned=machine.commissioned_at is not None
    )
    machine.state = after.value
    machine.came_from = before.value if event is Event.MAINTAIN else None
    machine.failed_from = before.value if after is State.FAILED else None
    if event is Event.COMMISSIONED:
        machine.commissioned_at = now()
    if before is State.PROVISIONING and after is State.FAILED:
        machine.phase = Phase.FAILED.value
    elif event in PHASE_AFTER:
        machine.phase = PHASE_AFTER[event].value
    _saved(machine)
    moved = {"event": event.value, "from": before.value, "to": after.value}
    audit.record(
        by,
        f"machine.{event.value}",
        kind="machine",
        id=machine.id,
        site=machine.site_id,
        machine=machine.id,
        reason=reason,
        data=moved,
    )
    noted(machine, Seen.STATE_MOVED, moved | {"by": by.name}, flow=flow)
    told = moved | {"by": by.name, "reason": reason, "phase": machine.phase}
    events.tell(machine, event.value, told | _of(flow), request_id=by.request_id)
    return after


def further(machine: Machine, seen: Seen, flow: Workflow) -> None:
    """Move the phase on, if *seen* leads further than the machine has come."""
    before = Phase(machine.phase)
    after = advance(before, seen)
    if after is before:
        return
    machine.phase = after.value
    _saved(machine)
    moved = {"from": before.value, "to": after.value}
    noted(machine, Seen.PHASE_MOVED, moved, flow=flow)
    events.tell(machine, "phase", moved | _of(flow), request_id=flow.request_id)


def _of(flow: Workflow | None) -> dict[str, Any]:
    return {} if flow is None else {"workflow": str(flow.id), "kind": flow.kind}


def _saved(machine: Machine) -> None:
    machine.version += 1
    machine.updated_at = now()
    machine.save()


def noted(  # what, of which machine, and of which workflow and run
    machine: Machine,
    kind: Seen,
    data: dict[str, Any],
    *,
    flow: Workflow | None = None,
    run: UUID | None = None,
) -> None:
    """Add a row of control's own to the machine's timeline, and tell the pages.

    It is of *run*, or of the machine's newest.
    """
    Observation.record(
        machine_id=machine.id,
        site_id=machine.site_id,
        run_id=machine.run_id if run is None else run,
        workflow_id=None if flow is None else flow.id,
        source=(Source.OPERATOR if kind in _SAID else Source.CONTROL).value,
        kind=kind.value,
        at=now(),
        data=data,
    )
    announce(machine.id)


def announce(machine_id: UUID) -> None:
    """Hint to the pages, at commit, that this machine changed.  PostgreSQL folds repetitions."""
    database.later("SELECT pg_notify(%s, %s)", (CHANNEL, str(machine_id)))


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)
