"""What is told of hosts as it happens: each row of a timeline, in up to three words.

Rule 1: what a row says is known from the row and its operation's table alone: told again, it is
        the same.
Rule 2: each word of a row has a number of its own, in order: whoever heard one misses none after.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from models.hosts import joins, state_of
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.phases import Phase
from models.workflows import INSTALLS, of_params


class Word(StrEnum):
    """The name of an event.  Told to others: add, never rename."""

    STATE = "state"
    """A host stands elsewhere than before."""
    OPERATION = "operation"
    """An operation began, came to another step, or ended."""
    ACTIVITY = "activity"
    """Something was seen."""


_ORDER: Final = (Word.STATE, Word.OPERATION, Word.ACTIVITY)
_EACH: Final = len(_ORDER) + 1
LAST: Final = len(_ORDER)

_UNDER_WAY: Final = frozenset({Seen.ASKED, Seen.STEP_BEGUN, Seen.STEP_FAILED})


def number(row: int, word: int = LAST) -> int:
    """Return the number of the *word*-th word of a *row*, counted from 1; of its last."""
    return row * _EACH + word


def row_before(after: int) -> int:
    """Return the newest row of which who heard *after* need not be told any more."""
    return (after - LAST) // _EACH


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """A row of a host's timeline, and the operation that it is of, if it is of one."""

    id: int
    host_id: UUID
    hostname: str
    site: str
    site_id: UUID
    operation_id: UUID | None
    verb: Kind | None
    params: Mapping[str, Any]
    source: str
    kind: str
    at: datetime
    applied: bool
    own: bool
    """Whether control wrote it: what an agent says moves no host and no operation."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event: *id* is what a caller resumes from."""

    id: int
    word: Word
    site_id: UUID
    data: Mapping[str, Any]


def told(row: Doing) -> Iterator[Told]:
    """Yield what *row* says, in order."""
    said = {
        Word.STATE: _known_state(row) if row.own else None,
        Word.OPERATION: _operation(row) if row.own else None,
        Word.ACTIVITY: _activity(row),
    }
    common = {
        "host_id": str(row.host_id),
        "hostname": row.hostname,
        "site": row.site,
        "operation_id": None if row.operation_id is None else str(row.operation_id),
        "at": row.at.isoformat().replace("+00:00", "Z"),
    }
    for place, word in enumerate(_ORDER, start=1):
        data = said[word]
        if data is not None:
            told_id = number(row.id, place)
            yield Told(id=told_id, word=word, site_id=row.site_id, data=common | data)


def _known_state(row: Doing) -> dict[str, Any] | None:
    try:
        return _state(row)
    except (KeyError, ValueError):
        return None  # a state that only a newer control has a name for


def _state(row: Doing) -> dict[str, Any] | None:
    """Return the states of a host before and after *row*, if they differ."""
    match row.kind:
        case Seen.STATE_MOVED:
            before, after = _stood(row, "from"), _stood(row, "to")
        case Seen.PHASE_MOVED if row.verb in INSTALLS:
            before, after = Phase(row.data["from"]), Phase(row.data["to"])
        case Seen.STEP_BEGUN if _begins_to_join(row):
            before, after = Phase.FIRST_BOOT, Phase.JOINING
        case _:
            return None
    return None if before is after else {"state": after.value, "from": before.value}


def _stood(row: Doing, end: str) -> Phase:
    """Return where a host stood at one *end* of a move of its machine."""
    # Who is put into maintenance while it is ready stays so, and only an active one is.
    ends = {row.data["from"], row.data["to"]}
    was_ready = State.ACTIVE in ends and State.MAINTENANCE in ends
    return state_of(State(row.data[end]), Phase.READY if was_ready else Phase.PXE_READY)


def _begins_to_join(row: Doing) -> bool:
    if row.verb is None or row.data.get("try") != 1:
        return False
    steps = of_params(row.verb, row.params).steps
    names = [step.name for step in steps]
    if row.data.get("step") not in names:
        return False
    index = names.index(row.data["step"])
    return joins(steps, index) and not joins(steps, index - 1)


def _operation(row: Doing) -> dict[str, Any] | None:
    state = None if row.operation_id is None else _progress(row)
    if state is None:
        return None
    return {
        "kind": None if row.verb is None else row.verb.value,
        "state": state.value,
        "step": row.data.get("step"),
        "detail": str(row.data.get("reason") or "") if row.kind != Seen.ASKED else "",
    }


def _progress(row: Doing) -> Progress | None:
    """Return how an operation is doing, if *row* says something of that."""
    if row.kind in _UNDER_WAY:
        return Progress.RUNNING
    if row.kind == Seen.GAVE_UP:
        return Progress.FAILED
    if row.kind == Seen.CANCELLED:
        return Progress.CANCELLED
    if row.kind == Seen.STEP_DONE and "workflow" in row.data:
        return Progress.SUCCEEDED
    return None


def _activity(row: Doing) -> dict[str, Any]:
    return {
        "source": row.source,
        "kind": row.kind,
        "applied": row.applied,
        "data": dict(row.data),
    }
