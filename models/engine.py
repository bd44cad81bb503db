"""One loop over a table of steps, as a pure function: what comes next, given what was seen.

The commands ask, carry out the answer inside their transaction, and ask again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models.observations import Seen
from models.steps import Step, StepKind, Table


class Outcome(StrEnum):
    """How the current try of a step's task stands."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """Failed, and trying again would not help."""

    PAUSED = "paused"
    """Failed, and resting before it is tried again."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a workflow stands: the step, the number of its try (0: not begun), its outcome."""

    index: int
    attempt: int = 0
    outcome: Outcome = Outcome.OPEN


@dataclass(frozen=True, slots=True)
class Begin:
    """Start this try of the step: issue its task, run its decision, or begin to wait."""

    step: Step
    attempt: int


@dataclass(frozen=True, slots=True)
class Rest:
    """The try failed; wait *seconds* before the next."""

    step: Step
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before something is seen, or the deadline passes."""

    step: Step


@dataclass(frozen=True, slots=True)
class Pass:
    """The step has what it wanted; go to the next."""

    step: Step


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step cannot be had."""

    step: Step
    because: Seen | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The table is at its end."""


LONGEST_REST_S: Final = 60.0

Move = Begin | Rest | Wait | Pass | GiveUp | Finish


def next_move(
    table: Table, cursor: Cursor, seen: Collection[Seen], *, rested: bool = False
) -> Move:
    """Return what to do at *cursor*, when *seen* are the kinds observed in this run.

    *rested* says that the pause after a failed try is over.
    """
    if cursor.index >= len(table.steps):
        return Finish()
    step = table.steps[cursor.index]
    for bad in sorted(step.fails_on & set(seen)):
        return GiveUp(step, bad)
    if step.until is not None and step.until in seen:
        return Pass(step)
    if cursor.attempt == 0:
        return Begin(step, 1)
    if step.kind is StepKind.EXPECTATION:
        return Wait(step)
    return _of_outcome(step, cursor, rested=rested)


def _of_outcome(step: Step, cursor: Cursor, *, rested: bool) -> Move:
    match cursor.outcome:
        case Outcome.DONE:
            return Pass(step)
        case Outcome.OPEN:
            return Wait(step)
        case Outcome.FAILED if cursor.attempt < step.tries:
            return Rest(step, rest_s(step, cursor.attempt))
        case Outcome.PAUSED:
            return Begin(step, cursor.attempt + 1) if rested else Wait(step)
        case _:
            return GiveUp(step)


def rest_s(step: Step, attempt: int) -> float:
    """Return the seconds between try number *attempt* and the next: doubled each time, bounded."""
    return min(float(step.backoff_s * 2 ** (attempt - 1)), LONGEST_REST_S)


def cleans_up(table: Table, cursor: Cursor, *, owed: bool = False) -> bool:
    """Whether a workflow that ends badly at *cursor* left something that must be undone.

    A step that was begun may have done its work, whatever was heard of it.  *owed*: it took the
    place of a workflow that was undoing what another left.
    """
    passed = table.steps[: cursor.index]
    return (
        table.clean_up is not None
        and (owed or dirtied(table, cursor))
        and not any(step.settles for step in passed)
    )


def dirtied(table: Table, cursor: Cursor) -> bool:
    """Whether a step was begun at *cursor* that does what must be undone."""
    begun = table.steps[: cursor.index + (1 if cursor.attempt else 0)]
    return any(step.dirties for step in begun)


def after_deadline(step: Step, cursor: Cursor) -> Move:
    """Return what to do when the deadline of *step* has passed without its outcome."""
    repeats = step.kind in {StepKind.ASSIGNMENT, StepKind.ERRAND}
    if repeats and cursor.attempt < step.tries:
        return Begin(step, cursor.attempt + 1)
    return GiveUp(step)
