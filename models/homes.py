"""Where hosts are and what hardware they have, by what each told of itself at its first boot."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models import facts
from models.phases import AT_HOME
from models.tables import Run
from models.views import MachineView


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """A machine; *ip*: where it said that it is, else where it was to be.

    *hardware_id*: what it said, else the UUID or the serial number that is known of it; None where
    nothing is.
    """

    machine: MachineView
    ip: str | None
    hardware_id: str | None


def of(machines: Sequence[MachineView]) -> list[HostView]:
    """Return the hosts that *machines* are, by one query for all."""
    ids = [each.run_id for each in machines if each.run_id is not None]
    rows = Run.select(Run.id, Run.home_address, Run.hardware_id).where(Run.id.in_(ids))
    told: dict[UUID | None, tuple[str, str]] = {}
    told |= {row.id: (row.home_address, row.hardware_id) for row in rows} if ids else {}
    return [_seen(each, *told.get(each.run_id, ("", ""))) for each in machines]


def _seen(machine: MachineView, address: str, hardware: str) -> HostView:
    known = facts.identity(machine.facts)
    return HostView(
        machine=machine,
        ip=(address if machine.phase in AT_HOME else "") or machine.address,
        hardware_id=hardware or known["uuid"] or known["serial"] or None,
    )
