"""After a restore of the database: what agents have seen of what was lost, control goes beyond."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from models.bootplan import BootPlan
from models.commands import runs
from models.tables import Machine, Plan, Run

HIGHEST: Final = 2**31 - 2**20
"""Versions and fences are of 32 bits; no agent may use them up."""


def plan(machine: Machine, told: Mapping[str, Any]) -> bool:
    """Raise the machine's plan above the one that an agent holds instead; False if it is not.

    *told* is what the agent said: the version that it holds, and its digest, empty for a plan that
    it holds no more.  The agent then replaces what this database never knew, also an installer.
    """
    held = told.get("held")
    if type(held) is not int or not machine.plan_version <= held < HIGHEST:
        return False
    current: Plan | None = Plan.get_or_none(Plan.machine_id == machine.id)
    if current is None:
        machine.plan_version = held
        machine.save()
        return True
    if held == current.version and told.get("held_digest") in {"", current.digest}:
        return False
    raised = replace(BootPlan.decode(current.body), version=held + 1)
    Run.update(plan_version=raised.version).where(
        (Run.id == raised.run) & (Run.plan_version == current.version)
    ).execute()
    runs.publish(machine, raised)
    return True


def fence(machine: Machine, told: Mapping[str, Any]) -> None:
    """Raise the machine's fence to what an agent refused a task by: the next grant is above it."""
    seen = told.get("fence")
    if type(seen) is int and machine.fence < seen < HIGHEST:
        machine.fence = seen
        machine.save()
