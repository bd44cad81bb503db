"""By what a machine is known that names itself: its cards, and what its BMC says of it."""

from typing import Any

from models import facts
from models.installer_calls import Caller
from models.tables import Interface, Machine


def of(machine: Machine) -> dict[str, Any]:
    """Return all MACs of *machine*, and the uuid and serial by which its BMC knows it."""
    rows = Interface.select(Interface.mac).where(Interface.machine_id == machine.id)
    return {"macs": [row.mac for row in rows], **facts.identity(machine.facts or {})}


def caller(machine: Machine) -> Caller:
    """Return what the installer of *machine* says that it is."""
    told = of(machine)
    return Caller(macs=tuple(told["macs"]), uuid=told["uuid"].lower(), serial=told["serial"])
