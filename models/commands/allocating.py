"""Machines handed out by what they are: all that were asked for, or none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from peewee import SQL, fn

from models import actions
from models.audit import Caller
from models.commands import handing_out, policy
from models.commands.moves import move
from models.database import database
from models.errors import Exhausted, Unknown
from models.lifecycle import Event, State
from models.policy import Policy
from models.tables import Machine, Site

_LOCK: Final = "FOR NO KEY UPDATE"

_NOT_HELD: Final = SQL(
    "NOT EXISTS (SELECT 1 FROM holdings WHERE machine_id = t1.id AND capability = 'allocation'"
    " AND gone_at IS NULL)"
)
"""An external allocator that still has a machine would not hand it out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What each machine must have; *min_disk_bytes* is of its largest disk."""

    site_id: UUID
    count: int
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str | None = None
    min_memory_mib: int | None = None
    min_disk_bytes: int | None = None

    def parameters(self) -> dict[str, Any]:
        """Return what is asked, as REST has it."""
        return {
            "count": self.count,
            "labels": dict(self.labels),
            "architecture": self.architecture,
            "minMemoryMib": self.min_memory_mib,
            "minDiskBytes": self.min_disk_bytes,
        }


def allocate(caller: Caller, wanted: Wanted, *, reason: str = "") -> list[UUID]:
    """Hand out machines, those that were commissioned first; return their ids.

    Raises Unknown, Forbidden, or Exhausted, which says how many there are.
    """
    with database.atomic():
        site: Site | None = Site.get_or_none(Site.id == wanted.site_id)
        if site is None:
            raise Unknown(
                f"no site {wanted.site_id}",
                field="/siteId",
                hint="List them with: sprout sites list",
            )
        policy.permitted_at(caller, site, actions.ALLOCATE, wanted.parameters())
        found = _taken(wanted, _states(policy.in_force(), site.slug))
        for machine in found:
            move(machine, Event.ALLOCATE, caller, reason=reason)
        handing_out.ask(found, caller)
    return [machine.id for machine in found]


def _states(rules: Policy, slug: str) -> Sequence[str]:
    rule = rules.rule(actions.ALLOCATE, slug)
    able = actions.ACTIONS[actions.ALLOCATE].states
    allowed = able if rule is None or rule.states is None else able & rule.states
    if rule is not None and rule.commissioned:
        allowed -= {State.REGISTERED}
    return sorted(state.value for state in allowed)


def _taken(wanted: Wanted, states: Sequence[str]) -> list[Machine]:
    """Lock the machines that are handed out, past those that others hold just now.

    Where that is too few, the others are waited for: one that is only being reported on is free.
    """
    query = _free(wanted, states)
    for clause in (f"{_LOCK} SKIP LOCKED", _LOCK):
        with database.atomic() as savepoint:
            found = list(query.for_update(clause))
            if len(found) == wanted.count:
                return found
            savepoint.rollback()  # gives the locks back
    there = f"{len(found)} of {wanted.count}"
    raise Exhausted(
        f"there are {there} machines that are free and have what is asked for",
        field="/count",
        hint="Ask for fewer, or for less of each: sprout machines list --state available",
    )


def _free(wanted: Wanted, states: Sequence[str]) -> Any:
    query = Machine.select().where(
        (Machine.site_id == wanted.site_id) & Machine.state.in_(list(states))
    )
    query = query.where(_NOT_HELD)
    if wanted.labels:
        query = query.where(SQL("t1.labels @> %s::jsonb", (json.dumps(dict(wanted.labels)),)))
    if wanted.architecture is not None:
        query = query.where(Machine.architecture == wanted.architecture)
    for found, entered, least in (
        (Machine.found_memory_mib, Machine.memory_mib, wanted.min_memory_mib),
        (Machine.found_disk_bytes, Machine.disk_bytes, wanted.min_disk_bytes),
    ):
        if least is not None:
            query = query.where(fn.COALESCE(found, entered) >= least)
    # One order for all: who waits for locks waits in the same order as everybody else.
    return query.order_by(Machine.state, Machine.hostname, Machine.id).limit(wanted.count)
