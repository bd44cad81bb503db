"""One loop over a table of steps, as a pure function: what comes next, given what was seen.

The commands ask, carry out the answer inside their transaction, and ask again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from models.observations import Seen
from models.workflows import Step, StepKind, Table


class Outcome(StrEnum):
    """How the current try of a step's task stands."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """Failed, and trying again would not help."""


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


Move = Begin | Wait | Pass | GiveUp | Finish


def next_move(table: Table, cursor: Cursor, seen: Collection[Seen]) -> Move:
    """Return what to do at *cursor*, when *seen* are the kinds observed in this run."""
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
    return _of_outcome(step, cursor)


def _of_outcome(step: Step, cursor: Cursor) -> Move:
    match cursor.outcome:
        case Outcome.DONE:
            return Pass(step)
        case Outcome.OPEN:
            return Wait(step)
        case Outcome.FAILED if cursor.attempt < step.tries:
            return Begin(step, cursor.attempt + 1)
        case _:
            return GiveUp(step)


def after_deadline(step: Step, cursor: Cursor) -> Move:
    """Return what to do when the deadline of *step* has passed without its outcome."""
    if step.kind is StepKind.ASSIGNMENT and cursor.attempt < step.tries:
        return Begin(step, cursor.attempt + 1)
    return GiveUp(step)
