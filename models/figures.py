"""What is counted of the whole of Sprout, for whoever watches it: few statements, closed labels.

No label names a machine, a site or an agent: a fleet that grows makes no more time series.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.commands import watching
from models.database import database
from models.kinds import Kind
from models.workflows import table_of

BUCKETS: Final = (1, 5, 15, 60, 300, 900, 3600, 14_400)
"""Seconds, up to which durations of workflows are told apart."""

_OUTBOX: Final = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM outbox
"""
_MACHINES: Final = "SELECT state, count(*) FROM machines GROUP BY state"

# Since when: of what a workflow leads through, its beginning; of what came of one, its end.
_IN_STATE: Final = """
SELECT m.state, max(extract(epoch FROM clock_timestamp() - CASE
    WHEN m.state IN ('commissioning', 'provisioning', 'releasing') THEN w.created_at
    ELSE w.finished_at END))::float8
FROM machines m CROSS JOIN LATERAL (
    SELECT created_at, finished_at FROM workflows
    WHERE machine_id = m.id AND lifecycle ORDER BY created_at DESC LIMIT 1) w
WHERE m.state IN ('commissioning', 'provisioning', 'releasing', 'failed')
GROUP BY m.state
"""
_RUNNING: Final = """
SELECT kind, params -> 'traits', step, count(*),
    max(extract(epoch FROM clock_timestamp() - begun_at))::float8
FROM workflows WHERE state = 'running' GROUP BY kind, params -> 'traits', step
"""
_ENDED: Final = f"""
SELECT kind, state, count(*), sum(s)::float8, ARRAY[{
    ", ".join(f"count(*) FILTER (WHERE s <= {each})" for each in BUCKETS)
}]
FROM (SELECT kind, state, extract(epoch FROM finished_at - created_at) AS s
      FROM workflows WHERE finished_at IS NOT NULL) AS ended
GROUP BY kind, state
"""  # noqa: S608 - of numbers of ours
_LEASES: Final = """
SELECT count(*) FILTER (WHERE state = 'lost'),
       count(*) FILTER (WHERE state IN ('granted', 'started'))
FROM tasks
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Workflows of a kind that ended in a state: how many, and how long they took, in seconds.

    *buckets* are as many as BUCKETS, each with all that took no longer.
    """

    kind: str
    state: str
    count: int
    sum_s: float
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of it, at one moment; ages in seconds.

    Attributes:
        outbox: messages that were promised and not sent yet.
        outbox_age_s: since when the oldest of them waits; 0 without any.
        machines: how many are in each state.
        in_state_s: how long at most one is in a state that should pass.
        running: (kind, step) → how many workflows stand there, and since when at most.
        ended: workflows that have ended.
        leases_lost: tasks that were taken from a silent agent.
        leases_held: tasks that agents hold now.
        providers: whether each external provider works, by capability.
        holdings: what external providers hold, by capability and state.
    """

    outbox: int
    outbox_age_s: float
    machines: Mapping[str, int]
    in_state_s: Mapping[str, float]
    running: Mapping[tuple[str, str], tuple[int, float]]
    ended: tuple[Ended, ...]
    leases_lost: int
    leases_held: int
    providers: Mapping[str, bool] = field(default_factory=dict)
    holdings: Mapping[tuple[str, str], int] = field(default_factory=dict)


def taken() -> Figures:
    """Return the figures of now, with a borrowed connection."""
    ((outbox, age_s),) = _rows(_OUTBOX)
    ((lost, held),) = _rows(_LEASES)
    return Figures(
        outbox=outbox,
        outbox_age_s=age_s,
        machines=dict(_rows(_MACHINES)),
        in_state_s={state: age for state, age in _rows(_IN_STATE) if age is not None},
        running=_running(),
        ended=tuple(
            Ended(kind=kind, state=state, count=count, sum_s=sum_s, buckets=tuple(buckets))
            for kind, state, count, sum_s, buckets in _rows(_ENDED)
        ),
        leases_lost=lost,
        leases_held=held,
        providers={each.capability: each.good for each in watching.standing()},
        holdings=watching.held(),
    )


def outbox_age_s() -> float:
    """Return since how many seconds the oldest promised message waits; 0 without any."""
    ((_, age_s),) = _rows(_OUTBOX)
    return float(age_s)


def _rows(statement: str) -> Iterator[Any]:
    return iter(database.execute_sql(statement).fetchall())


def _running() -> dict[tuple[str, str], tuple[int, float]]:
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for kind, traits, at, count, age_s in _rows(_RUNNING):
        where = (kind, _step(kind, traits or (), at))
        others, longest_s = found.get(where, (0, 0.0))
        found[where] = (others + count, max(longest_s, age_s))
    return found


def _step(kind: str, traits: Collection[str], at: int) -> str:
    """Return the name of a step; a newer control may have walked further than we know."""
    steps = table_of(Kind(kind), traits).steps if kind in set(Kind) else ()
    return steps[at].name if at < len(steps) else "unknown"
