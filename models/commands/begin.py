"""How a workflow comes to be: its row, the machine's move, the audit, and the promise to go on."""

import time
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from models import audit, messages, outbox
from models.audit import Caller
from models.commands import events, traits
from models.commands.moves import move, noted, now
from models.engine import Outcome
from models.kinds import Kind, Progress
from models.messages import Actor
from models.observations import Seen
from models.tables import Machine, Workflow
from models.workflows import LIFECYCLE, TABLES

AT_START: Final[Mapping[str, Any]] = MappingProxyType(
    {"step": 0, "attempt": 0, "outcome": Outcome.OPEN.value, "detail": ""}
)
"""The columns that say where a workflow stands, at its beginning."""

_QUEUED_S: Final = 60
"""Seconds for the engine to take up a new workflow."""


def begun(
    machine: Machine,
    kind: Kind,
    caller: Caller,
    *,
    reason: str,
    params: Mapping[str, Any] | None = None,
    parent: Workflow | None = None,
) -> Workflow:
    """Begin a workflow in the caller's transaction, which holds the machine's lock.

    *parent* is the workflow whose bad end this one follows.  Raises IllegalTransition.
    """
    flow: Workflow = Workflow.create(
        kind=kind.value,
        machine_id=machine.id,
        site_id=machine.site_id,
        lifecycle=kind in LIFECYCLE,
        params=_params(machine, kind, params or {}),
        requested_by=caller.name,
        reason=reason,
        request_id=caller.request_id or (parent.request_id if parent else ""),
        state=Progress.RUNNING.value,
        parent_id=None if parent is None else parent.id,
        begun_at=now(),
        deadline_at=now() + timedelta(seconds=_QUEUED_S),
        wake_at=now() + timedelta(seconds=_QUEUED_S),
        **AT_START,
    )
    _told(machine, flow, kind, caller, reason=reason)
    told = {"workflow": str(flow.id), "kind": kind.value, "by": caller.name, "reason": reason}
    events.tell(machine, "workflow-begun", told, request_id=flow.request_id)
    promise(flow)
    return flow


def promise(flow: Workflow) -> None:
    """Promise that the engine carries *flow* on; the caller holds the lock of its machine."""
    kwargs = {"workflow": str(flow.id), "request_id": flow.request_id}
    body = messages.encoded(Actor.ADVANCE, messages.CONTROL_QUEUE, kwargs, now=time.time())
    outbox.promise(messages.CONTROL_QUEUE, body, machine=flow.machine_id)


def _params(machine: Machine, kind: Kind, asked: Mapping[str, Any]) -> dict[str, Any]:
    held = traits.of(machine, kind, asked)
    return {**asked, "traits": sorted(held)} if held else dict(asked)


def _told(machine: Machine, flow: Workflow, kind: Kind, caller: Caller, *, reason: str) -> None:
    asked = {"verb": kind.value, "by": caller.name, "reason": reason, "workflow": str(flow.id)}
    if flow.parent_id is None:
        noted(machine, Seen.ASKED, asked, flow=flow)
    event = TABLES[kind].begins
    if event is not None:
        move(machine, event, caller, reason=reason, flow=flow)
        return
    audit.record(
        caller,
        f"machine.{kind.value}",
        kind="machine",
        id=machine.id,
        site=machine.site_id,
        machine=machine.id,
        reason=reason,
        data=asked,
    )
