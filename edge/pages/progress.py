"""How a workflow goes: its steps, each with who acts and how long it took, and its log."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from edge.wording import duration, percent, sentence
from models.kinds import Progress
from models.observations import Seen, Source
from models.steps import Step
from models.views import ObservationView, WorkflowView

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Progress.RUNNING: "working",
        Progress.SUCCEEDED: "good",
        Progress.FAILED: "failed",
        Progress.CANCELLED: "off",
    }
)

_ICONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Source.DHCP: "wire",
        Source.TFTP: "wire",
        Source.HTTP: "wire",
        Source.BMC: "chip",
        Source.AGENT: "site",
        Source.OPERATOR: "person",
    }
)
"""Who saw it, as an icon; control is every other."""

ROWS: Final = 300
"""Newest rows that are read of one machine or workflow."""

SHOWN: Final = 60
"""Rows of those that are shown, unless more are asked for."""

_LONGEST_S: Final = 1800.0
"""Seconds between two rows that fill the bar, which is logarithmic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step: *mark* is now, later, done or failed; *until* its deadline while it runs."""

    name: str
    mark: str
    party: str
    expects: str
    limit: str
    took: str = ""
    percent: int | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing seen; *after*: how long after the one before; *share* of the bar, 0 to 100."""

    id: int
    at: datetime
    source: str
    icon: str
    sentence: str
    applied: bool
    fields: Sequence[tuple[str, str]]
    after: str
    share: int


def stages(flow: WorkflowView, rows: Sequence[ObservationView], now: datetime) -> list[Stage]:
    """Return the steps of *flow*; *rows* is what was seen of it, in order."""
    begun, ended = _times(flow, rows, Seen.STEP_BEGUN), _times(flow, rows, Seen.STEP_DONE)
    written = _written(flow, rows)
    found = []
    for number, step in enumerate(flow.steps):
        start, mark = begun.get(step.name), _mark(flow, number)
        stop = ended.get(step.name) or (now if mark == "now" else flow.finished_at)
        running = mark == "now"
        found.append(
            Stage(
                name=step.name,
                mark=mark,
                party=step.party.value,
                expects=step.expects,
                limit=duration(step.deadline_s),
                took="" if start is None or stop is None else _between(start, stop),
                percent=written if running and step.until is Seen.INSTALLED else None,
                until=flow.deadline_at if running else None,
            )
        )
    return found


def to_come(steps: Sequence[Step]) -> list[Stage]:
    """Return *steps* of a workflow that has not begun."""
    return [
        Stage(
            name=step.name,
            mark="later",
            party=step.party.value,
            expects=step.expects,
            limit=duration(step.deadline_s),
        )
        for step in steps
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What was seen, the newest first; *more*: how many rows are left out."""

    rows: Sequence[Row]
    more: int


def log(rows: Sequence[ObservationView], *, whole: bool) -> Log:
    """Return *rows*, which are in order, as they are shown: all, or the newest of them."""
    told = _told(rows)
    shown = told if whole else told[:SHOWN]
    return Log(rows=shown, more=len(told) - len(shown))


def output(rows: Sequence[ObservationView]) -> str:
    """Return what a command said of late, as it came."""
    said = (row.data.get("text") for row in rows if row.kind == Seen.TASK_OUTPUT)
    return "".join(text for text in said if isinstance(text, str))


def _told(rows: Sequence[ObservationView]) -> list[Row]:
    shown = []
    before: datetime | None = None
    for row in rows:
        gap = timedelta() if before is None else max(timedelta(), row.at - before)
        shown.append(
            Row(
                id=row.id,
                at=row.at,
                source=row.source,
                icon=_ICONS.get(row.source, "control"),
                sentence=sentence(row.kind, row.data),
                applied=row.applied,
                fields=fields(row.data),
                after="" if before is None else duration(gap.total_seconds()),
                share=min(
                    100, round(100 * math.log1p(gap.total_seconds()) / math.log1p(_LONGEST_S))
                ),
            )
        )
        before = row.at
    return shown[::-1]


def fields(data: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return *data* by name, as a person reads it; what is nested stays JSON."""
    return [(name, _plain(value)) for name, value in sorted(data.items())]


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _between(start: datetime, stop: datetime) -> str:
    return duration(max(0.0, (stop - start).total_seconds()))


def _written(flow: WorkflowView, rows: Sequence[ObservationView]) -> int | None:
    own = (r for r in rows if r.run_id == flow.run_id and r.kind == Seen.INSTALL_PROGRESS)
    return max((share for row in own if (share := percent(row.data)) is not None), default=None)


def _mark(flow: WorkflowView, number: int) -> str:
    if number < flow.index or flow.progress is Progress.SUCCEEDED:
        return "done"
    if number > flow.index:
        return "later"
    return "now" if flow.progress is Progress.RUNNING else "failed"


def _times(
    flow: WorkflowView, rows: Sequence[ObservationView], kind: Seen
) -> Mapping[str, datetime]:
    own = (row for row in rows if row.workflow_id == flow.id and row.kind == kind)
    return {str(row.data["step"]): row.at for row in own if "step" in row.data}
