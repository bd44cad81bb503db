"""Why a step takes long, in the words of whoever is waited for; some of it prolongs the step.

Nothing here ends a step: what is told here is no more than words.
"""

from datetime import timedelta
from typing import Final

from models.commands.moves import now
from models.kinds import Kind
from models.observations import Observation
from models.tables import Workflow
from models.workflows import of_params

LONGEST_S: Final = 6 * 3600
"""Seconds from a step's begin for which it is prolonged, however much still comes."""

_MOST: Final = 500


def heed(flow: Workflow, seen: Observation) -> None:
    """Keep what *seen* tells of the step that waits; what it waits for grows, so the step lasts."""
    steps = of_params(Kind(flow.kind), flow.params).steps
    if flow.step >= len(steps) or flow.attempt == 0 or seen.kind not in steps[flow.step].heeds:
        return
    flow.detail = str(seen.data.get("reason", seen.kind.value))[:_MOST]
    if seen.data.get("grows") is True:
        _prolong(flow, steps[flow.step].deadline_s)
    flow.save()


def _prolong(flow: Workflow, seconds: int) -> None:
    last = flow.begun_at + timedelta(seconds=LONGEST_S)
    later = min(now() + timedelta(seconds=seconds), last)
    if later > flow.deadline_at:
        flow.deadline_at = flow.wake_at = later
