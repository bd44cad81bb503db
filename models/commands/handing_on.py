"""What a machine that failed gives back before it is handed on, or taken out of use.

Rule 1: disks on which something was installed are nobody else's, unless a person says so plainly.
Rule 2: an address is nobody else's while a host may still run under it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from models.errors import IllegalTransition
from models.kinds import Kind
from models.lifecycle import State
from models.tables import Allocation, Machine


def demand(machine: Machine, kind: Kind) -> None:
    """Return if *machine* has given back what *kind* would hand on.  Raises IllegalTransition."""
    if machine.state == State.FAILED.value and (demanded := _DEMANDED.get(kind)):
        demanded(machine)


def _bare(machine: Machine) -> None:
    # It is set before a boot that installs, and emptied where a release or retirement lets go.
    if machine.image_id is not None:
        raise IllegalTransition(
            f"{machine.hostname} was not given back: its disks hold what was installed on them",
            hint="Release it, which wipes them; or say that they stay as they are: "
            f"sprout machines release {machine.hostname} --wipe none",
        )


def _off(machine: Machine) -> None:
    held: Allocation | None = Allocation.get_or_none(
        (Allocation.machine_id == machine.id) & Allocation.state.in_(["reserved", "active"])
    )
    if held is not None and machine.power != "off":
        raise IllegalTransition(
            f"{machine.hostname} may still run as {held.address}: its power is {machine.power}",
            hint=f"Switch it off: sprout machines power-off {machine.hostname}. Without a BMC in "
            "its record a person confirms that.",
        )


_DEMANDED: Final[Mapping[Kind, Callable[[Machine], None]]] = MappingProxyType(
    {Kind.CLEAR: _bare, Kind.COMMISSION: _bare, Kind.RETIRE: _off}
)
