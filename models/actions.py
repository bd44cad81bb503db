"""The verbs on a machine: from which states each is asked, and what its parameters come down to."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from models.kinds import Kind
from models.lifecycle import TRANSITIONS, WORKING, Event, State
from models.workflows import TABLES

ALLOCATE: Final = "allocate"
"""Asked of a site, not of a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """*destructive*: it takes a machine away from whoever uses it, or wipes a disk."""

    summary: str
    states: frozenset[State]
    destructive: bool = False


def _from(event: Event) -> frozenset[State]:
    return frozenset(state for state, each in TRANSITIONS if each is event)


_IDLE: Final = frozenset(State) - WORKING - {State.RETIRED}
_SUMMARIES: Final[Mapping[Kind, tuple[str, bool]]] = MappingProxyType(
    {
        Kind.COMMISSION: (
            "Take inventory of it, and test it where it can boot; leads to available.",
            False,
        ),
        Kind.PROVISION: ("Write an image to its disk and boot it; leads to active.", True),
        Kind.REPROVISION: ("Provision a machine that is in use: wipes its disk.", True),
        Kind.IMAGE: ("Insert an image as virtual media, and boot from it next.", True),
        Kind.POWER_ON: ("Switch it on.", False),
        Kind.POWER_OFF: ("Switch it off.", False),
        Kind.REBOOT: ("Switch it off, then on.", False),
        Kind.BOOT_SOURCE: ("Choose what it boots from.", False),
        Kind.REMOTE_TASK: ("Run a command on its system.", False),
        Kind.RELEASE: ("Wipe it, switch it off, give its address back; leads to available.", True),
        Kind.RETIRE: ("Take it out of use for good.", True),
        Kind.MAINTENANCE: ("Put it into maintenance.", False),
        Kind.RESUME: ("Bring it back to where it came from.", False),
        Kind.CLEAR: ("Say that what failed is mended.", False),
        Kind.DEALLOCATE: ("Give an allocated machine back.", False),
    }
)
_STATES: Final[Mapping[Kind, frozenset[State]]] = MappingProxyType(
    {
        Kind.PROVISION: _from(Event.PROVISION) - {State.ACTIVE},
        Kind.REPROVISION: frozenset({State.ACTIVE}),
        Kind.REMOTE_TASK: frozenset({State.ACTIVE, State.MAINTENANCE}),
    }
)
"""Where it is neither what the lifecycle says nor every state at rest."""


def _states(kind: Kind) -> frozenset[State]:
    begins = TABLES[kind].begins
    return _STATES.get(kind) or (_IDLE if begins is None else _from(begins))


ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        kind.value: Action(summary=words, states=_states(kind), destructive=destroys)
        for kind, (words, destroys) in _SUMMARIES.items()
    }
    | {ALLOCATE: Action(summary="Hand out machines that are free.", states=_from(Event.ALLOCATE))}
)
"""Every verb that is judged, by its name."""


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return *parameters* without those that say nothing: absent, empty or false are one."""
    return {name: value for name, value in sorted(parameters.items()) if value not in _NOTHING}


_NOTHING: Final[tuple[Any, ...]] = (None, False, "", [], {})


def digest(parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 that an approval of *parameters* is bound to."""
    text = json.dumps(plain(parameters), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
