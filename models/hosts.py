"""The life of a host, as one table; and where a host stands, as a view of machine and workflow.

Rule 1: a move that is not in TRANSITIONS cannot happen.
Rule 2: nothing here is stored: a host is a machine with a server type, and an operation is its
        workflow; `state_of` only gives what they say the words of the table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.errors import IllegalTransition, NotReady
from models.lifecycle import State
from models.observations import Seen
from models.phases import Phase, phase_of
from models.steps import Step, StepKind
from models.views import MachineView


class Move(StrEnum):
    """Past tense when a host or control reports it, imperative when a person asks."""

    REBUILD = "rebuild"
    SCRIPT_SERVED = "script-served"
    ANSWER_SERVED = "answer-served"
    INSTALLED = "installed"
    PHONED_HOME = "phoned-home"
    JOIN_BEGUN = "join-begun"
    JOINED = "joined"
    """Joined, its key removed, and registered where that is asked for."""

    GAVE_UP = "gave-up"
    CANCEL = "cancel"


_P, _M = Phase, Move

# fmt: off
TRANSITIONS: Final[Mapping[tuple[Phase, Move], Phase]] = MappingProxyType({
    (_P.REGISTERED, _M.REBUILD):       _P.PXE_READY,
    (_P.READY,      _M.REBUILD):       _P.PXE_READY,
    (_P.FAILED,     _M.REBUILD):       _P.PXE_READY,
    (_P.PXE_READY,  _M.SCRIPT_SERVED): _P.PXE_BOOTED,
    (_P.PXE_BOOTED, _M.ANSWER_SERVED): _P.INSTALLING,
    (_P.INSTALLING, _M.INSTALLED):     _P.INSTALLED,
    (_P.INSTALLED,  _M.PHONED_HOME):   _P.FIRST_BOOT,
    (_P.FIRST_BOOT, _M.JOIN_BEGUN):    _P.JOINING,
    (_P.JOINING,    _M.JOINED):        _P.READY,
    (_P.PXE_READY,  _M.GAVE_UP):       _P.FAILED,
    (_P.PXE_BOOTED, _M.GAVE_UP):       _P.FAILED,
    (_P.INSTALLING, _M.GAVE_UP):       _P.FAILED,
    (_P.INSTALLED,  _M.GAVE_UP):       _P.FAILED,
    (_P.FIRST_BOOT, _M.GAVE_UP):       _P.FAILED,
    (_P.JOINING,    _M.GAVE_UP):       _P.FAILED,
    (_P.PXE_READY,  _M.CANCEL):        _P.FAILED,
    (_P.PXE_BOOTED, _M.CANCEL):        _P.FAILED,
    (_P.INSTALLING, _M.CANCEL):        _P.FAILED,
    (_P.INSTALLED,  _M.CANCEL):        _P.FAILED,
    (_P.FIRST_BOOT, _M.CANCEL):        _P.FAILED,
    (_P.JOINING,    _M.CANCEL):        _P.FAILED,
})
# fmt: on

ACTIVE: Final = frozenset(before for before, move in TRANSITIONS if move is Move.CANCEL)
"""States in which an operation holds the host."""

_SETTLED: Final[Mapping[State, Phase]] = MappingProxyType(
    {State.ACTIVE: Phase.READY, State.FAILED: Phase.FAILED}
)

_DOES: Final = frozenset({StepKind.ASSIGNMENT, StepKind.ERRAND})


def next_state(state: Phase, move: Move) -> Phase:
    """Return where *move* leads from *state*.  Raises IllegalTransition."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        asked = ", ".join(sorted(m for s, m in TRANSITIONS if s is state and m in _ASKED))
        raise IllegalTransition(
            f"a host that is {state} cannot {move}", hint=f"From {state} it can: {asked}."
        ) from None


_ASKED: Final = frozenset({Move.REBUILD, Move.CANCEL})
"""Moves that a person asks for."""


def state_of(state: State, phase: Phase, steps: Sequence[Step] = (), index: int = 0) -> Phase:
    """Return where a host stands, whose machine is in *state* and came to *phase*.

    *steps* are those of its newest workflow, which stands at *index*.
    """
    if state in _SETTLED:
        return _SETTLED[state]
    if state is State.MAINTENANCE and phase is Phase.READY:
        return Phase.READY
    if state is not State.PROVISIONING:
        return Phase.REGISTERED
    if phase not in ACTIVE:
        return Phase.PXE_READY
    if phase is Phase.FIRST_BOOT and joins(steps, index):
        return Phase.JOINING
    return phase


def joins(steps: Sequence[Step], index: int) -> bool:
    """Whether at *index* something was begun on the host, or about it, since it phoned home."""
    home = [number for number, step in enumerate(steps) if step.until is Seen.PHONED_HOME]
    return bool(home) and any(step.kind in _DOES for step in steps[home[-1] + 1 : index + 1])


def reached(steps: Sequence[Step], index: int) -> Phase:
    """Return the furthest state of an operation of *steps* that stands, or ended, at *index*."""
    seen = [step.until for step in steps[:index] if step.until is not None]
    return state_of(State.PROVISIONING, phase_of(seen), steps, index)


def standing(machine: MachineView) -> Phase:
    """Return where the host *machine* stands."""
    flow = machine.workflow
    steps, index = ((), 0) if flow is None else (flow.steps, flow.index)
    return state_of(machine.state, machine.phase, steps, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image that could be taken."""

    ref: str
    is_default: bool


def chosen_image(candidates: Iterable[Candidate]) -> str:
    """Return the reference of the default among *candidates*, else of the only one.

    Raises NotReady.
    """
    found = list(candidates)
    default = [each for each in found if each.is_default] or found
    if len(default) == 1:
        return default[0].ref
    if not found:
        raise NotReady(
            "there is no Proxmox image",
            hint="Upload one, or point at one: sprout images create --installer proxmox …",
        )
    raise NotReady(
        f"there are {len(found)} Proxmox images, and none is marked as the default",
        hint=f"Mark one: sprout images update {found[0].ref} --default",
    )


def chosen_site(configured: str, slugs: Sequence[str]) -> str:
    """Return the site that hosts are at: the one *configured*, else the only one of *slugs*.

    Raises NotReady.
    """
    if configured:
        return configured
    if len(slugs) == 1:
        return slugs[0]
    raise NotReady(
        f"there are {len(slugs)} sites, and it is not said at which of them hosts stand",
        hint="Set SPROUT_SITE_ID to one." if slugs else "Make one: sprout sites create --name …",
    )
