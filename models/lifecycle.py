"""What an operator may do with a machine, as one table.

Rule 1: a move that is not in TRANSITIONS cannot happen.
Rule 2: this module knows no database, no clock and no operator.
Rule 3: some moves lead back to where the machine came from; they say so with a Recall.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.errors import IllegalTransition


class State(StrEnum):
    """What an operator may do; `available` is what the notes call *ready*."""

    REGISTERED = "registered"
    COMMISSIONING = "commissioning"
    AVAILABLE = "available"
    ALLOCATED = "allocated"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    RELEASING = "releasing"
    MAINTENANCE = "maintenance"
    FAILED = "failed"
    RETIRED = "retired"


class Event(StrEnum):
    """Past tense when a machine reports it, imperative when a person asks."""

    COMMISSION = "commission"
    COMMISSIONED = "commissioned"
    ALLOCATE = "allocate"
    DEALLOCATE = "deallocate"
    PROVISION = "provision"
    PROVISIONED = "provisioned"
    RELEASE = "release"
    RELEASED = "released"
    MAINTAIN = "maintain"
    RESUME = "resume"
    CLEAR = "clear"
    CANCEL = "cancel"
    GAVE_UP = "gave-up"
    RETIRE = "retire"


class Recall(StrEnum):
    """A destination that depends on what the machine was before."""

    CAME_FROM = "came-from"
    IDLE = "idle"


_S, _E = State, Event

# fmt: off
TRANSITIONS: Final[Mapping[tuple[State, Event], State | Recall]] = MappingProxyType({
    (_S.REGISTERED,    _E.COMMISSION):   _S.COMMISSIONING,
    (_S.REGISTERED,    _E.ALLOCATE):     _S.ALLOCATED,
    (_S.REGISTERED,    _E.PROVISION):    _S.PROVISIONING,
    (_S.REGISTERED,    _E.RETIRE):       _S.RETIRED,
    (_S.COMMISSIONING, _E.COMMISSIONED): _S.AVAILABLE,
    (_S.COMMISSIONING, _E.GAVE_UP):      _S.FAILED,
    (_S.COMMISSIONING, _E.CANCEL):       _S.FAILED,
    (_S.AVAILABLE,     _E.COMMISSION):   _S.COMMISSIONING,
    (_S.AVAILABLE,     _E.ALLOCATE):     _S.ALLOCATED,
    (_S.AVAILABLE,     _E.PROVISION):    _S.PROVISIONING,
    (_S.AVAILABLE,     _E.MAINTAIN):     _S.MAINTENANCE,
    (_S.AVAILABLE,     _E.RETIRE):       _S.RETIRED,
    (_S.ALLOCATED,     _E.PROVISION):    _S.PROVISIONING,
    (_S.ALLOCATED,     _E.DEALLOCATE):   Recall.IDLE,
    (_S.PROVISIONING,  _E.PROVISIONED):  _S.ACTIVE,
    (_S.PROVISIONING,  _E.GAVE_UP):      _S.FAILED,
    (_S.PROVISIONING,  _E.CANCEL):       _S.FAILED,
    (_S.ACTIVE,        _E.PROVISION):    _S.PROVISIONING,
    (_S.ACTIVE,        _E.RELEASE):      _S.RELEASING,
    (_S.ACTIVE,        _E.MAINTAIN):     _S.MAINTENANCE,
    (_S.RELEASING,     _E.RELEASED):     _S.AVAILABLE,
    (_S.RELEASING,     _E.GAVE_UP):      _S.FAILED,
    (_S.RELEASING,     _E.CANCEL):       _S.FAILED,
    (_S.MAINTENANCE,   _E.RESUME):       Recall.CAME_FROM,
    (_S.FAILED,        _E.COMMISSION):   _S.COMMISSIONING,
    (_S.FAILED,        _E.PROVISION):    _S.PROVISIONING,
    (_S.FAILED,        _E.RELEASE):      _S.RELEASING,
    (_S.FAILED,        _E.CLEAR):        Recall.IDLE,
    (_S.FAILED,        _E.RETIRE):       _S.RETIRED,
})
# fmt: on

WORKING: Final = frozenset({State.COMMISSIONING, State.PROVISIONING, State.RELEASING})
"""States that a workflow ends, or the reaper's GAVE_UP: each needs a deadline."""


def next_state(
    state: State, event: Event, *, came_from: State | None = None, commissioned: bool = False
) -> State:
    """Return where *event* leads from *state*.

    *came_from* is the state before maintenance; *commissioned* says whether the machine ever
    finished commissioning, which decides where a cleared failure and
    a machine that is given back go.  Raises IllegalTransition.
    """
    match TRANSITIONS.get((state, event)):
        case State() as after:
            return after
        case Recall.CAME_FROM if came_from is not None:
            return came_from
        case Recall.IDLE:
            return State.AVAILABLE if commissioned else State.REGISTERED
        case _:
            raise IllegalTransition(
                f"a machine that is {state} cannot {event}", hint=_what_it_can(state)
            )


def _what_it_can(state: State) -> str:
    asked = sorted(e for s, e in TRANSITIONS if s is state and not e.endswith("ed"))
    asked = [e for e in asked if e is not Event.GAVE_UP]
    return f"From {state} it can: {', '.join(asked)}." if asked else f"{state} is final."
