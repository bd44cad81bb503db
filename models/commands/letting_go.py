"""A machine gives back what it was given: its plan, its address, what ran on it."""

from peewee import SQL

from models.commands import holdings
from models.tables import Allocation, Machine, Plan

# Agents hold the plan until their next snapshot: the address is free when none can serve it.
_NOW = SQL("pg_current_xact_id()")


def all_of(machine: Machine) -> None:
    """Take the machine's plan away, and let its addresses be freed once no agent serves them.

    The caller holds the machine's lock.
    """
    Plan.delete().where(Plan.machine_id == machine.id).execute()
    Allocation.update(state="releasing", let_go=_NOW).where(
        (Allocation.machine_id == machine.id) & (Allocation.state != "released")
    ).execute()
    holdings.let_go(machine)
    machine.image_id = machine.profile_id = machine.network_id = None
    machine.ssh_host_keys = []
    machine.save()
