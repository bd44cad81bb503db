"""What a Proxmox VE host does after its first boot, to be of its cluster, and known elsewhere."""

from dataclasses import replace
from typing import Final

from models.errands import Errand
from models.steps import Step, Trait, errand, where

JOIN_S: Final = 600.0
"""Seconds for one join, whose hosts before it have joined."""

_LINE_S: Final = 6 * 3600
"""Seconds for a join with all those that are before it: they join one at a time."""

_DAY_S: Final = 24 * 3600

STEPS: Final[tuple[Step, ...]] = (
    *where(
        errand(
            "joined",
            Errand.CLUSTER_JOIN,
            "the host to join its cluster, after those that are before it",
            _LINE_S,
        ),
        only=[Trait.CLUSTER],
    ),
    *where(
        replace(
            errand(
                "registered",
                Errand.INFRASTRUCTURE_REGISTER,
                "the Infrastructure service to take the host in",
                _DAY_S,
            ),
            tries=1440,
        ),
        only=[Trait.INFRASTRUCTURE],
    ),
)
"""Between the first boot and the end; a pause between two tries is a minute at most."""
