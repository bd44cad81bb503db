"""Whether there is somebody who can do what is asked at a machine: an agent, or a person."""

from models.boards import WAKE_ON_LAN
from models.commands import agents, tasks, traits
from models.errors import NotReady
from models.kinds import Kind
from models.steps import Trait
from models.tables import Machine
from models.workflows import by_hand


def demand(machine: Machine, kind: Kind) -> None:
    """Raise NotReady where nobody could do *kind*; without a BMC a person is asked."""
    held = traits.of(machine, kind, {})
    if Trait.BY_HAND not in held:
        agents.newest_live(machine.site_id, tasks.protocol(machine))
    elif not by_hand(kind):
        raise NotReady(
            f"{machine.hostname} has no BMC, and nobody can {kind} without one",
            field="/bmc",
            hint="Give the machine a BMC with its address and a reference to its password.",
        )
    elif Trait.WAKES in held:
        agents.newest_live(machine.site_id, WAKE_ON_LAN)
