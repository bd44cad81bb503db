"""How far a boot has come: a pure function of what was seen of its run.

The words are the host states of the Proxmox notes, so that `/api/hosts` can show them as they are.
A phase only moves forward within a run, and may skip what an operating system does not have.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.observations import Seen


class Phase(StrEnum):
    """In the order of a boot; `failed` stands outside that order."""

    REGISTERED = "registered"
    PXE_READY = "pxe_ready"
    PXE_BOOTED = "pxe_booted"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FIRST_BOOT = "first_boot"
    JOINING = "joining"
    READY = "ready"
    FAILED = "failed"


ORDER: Final = tuple(phase for phase in Phase if phase is not Phase.FAILED)

AT_HOME: Final = frozenset({Phase.FIRST_BOOT, Phase.JOINING, Phase.READY})
"""A host said where it is, and is there."""

REACHED_BY: Final[Mapping[Seen, Phase]] = MappingProxyType(
    {
        Seen.PLAN_SERVED: Phase.PXE_READY,
        Seen.SCRIPT_SERVED: Phase.PXE_BOOTED,
        Seen.INSTALL_STARTED: Phase.INSTALLING,
        Seen.ANSWER_SERVED: Phase.INSTALLING,
        Seen.INSTALLED: Phase.INSTALLED,
        Seen.DEPLOY_STARTED: Phase.INSTALLING,
        Seen.INVENTORIED: Phase.INSTALLED,
        Seen.WIPED: Phase.INSTALLED,
        Seen.PHONED_HOME: Phase.FIRST_BOOT,
    }
)


def advance(phase: Phase, seen: Seen) -> Phase:
    """Return the phase after *seen*: never earlier than *phase*, and never out of an end."""
    reached = REACHED_BY.get(seen)
    if reached is None or phase in {Phase.FAILED, Phase.READY}:
        return phase
    return max(phase, reached, key=ORDER.index)


def phase_of(seen: Iterable[Seen]) -> Phase:
    """Return the phase of a run that began in pxe_ready and of which *seen* was observed."""
    phase = Phase.PXE_READY
    for kind in seen:
        phase = advance(phase, kind)
    return phase
