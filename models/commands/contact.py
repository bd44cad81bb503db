"""Who at a site is in contact, and what that does to deadlines.

The clock of a wait on what a site sees stands while that site is out of contact: what it saw
meanwhile lies in its spool.  An agent is in contact again when its heart beats and its spool has
arrived.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from models.commands.moves import now
from models.database import database
from models.messages import Envelope
from models.steps import Step, StepKind
from models.tables import Agent, Observation, Run, Task, Workflow

LIVE_S: Final = 35
"""Seconds after its last heartbeat for which an agent counts as live: three beats and a half."""

SPOOL_S: Final = 120
"""Seconds without any of it after which a spool that never came whole is waited for no longer."""

LONGEST_SPOOL_S: Final = 1800
"""Seconds of contact after which it is not, whatever still comes."""

LONGEST_S: Final = 7 * 24 * 3600
"""Seconds for which a clock may stand: every wait has an end."""

# One statement, so that beats worked on side by side add up; the first after a silence opens a new
# contact, and until its spool has arrived nothing is judged by the clock.
_BEAT: Final = """
UPDATE agents SET
    away_s = away_s + CASE WHEN silent THEN gap ELSE 0 END,
    contact_since = CASE WHEN silent THEN now() ELSE contact_since END,
    drained = CASE WHEN silent THEN false ELSE drained END,
    last_seen_at = now()
FROM (
    SELECT id AS who, extract(epoch FROM now() - last_seen_at) AS gap,
        now() - last_seen_at > %s * interval '1 second' AS silent
    FROM agents WHERE id = %s AND site_id = %s FOR NO KEY UPDATE
) AS before
WHERE id = who
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Contact:
    """How an agent stands to control: *away_s* is all the time it ever was out of contact."""

    hostname: str
    last_seen_at: datetime
    judged: bool
    away_s: float


def beat(envelope: Envelope) -> bool:
    """Record a sign of life; False for an agent that control does not know."""
    cursor = database.execute_sql(_BEAT, (LIVE_S, str(envelope.agent), str(envelope.site)))
    return cursor.fetchone() is not None


def spool(envelope: Envelope) -> None:
    """Record it when everything that the agent has sent since it connected has arrived."""
    waited = Agent.select().where((Agent.id == envelope.agent) & ~Agent.drained).exists()
    told = envelope.body.get("spool")
    if waited and (not isinstance(told, Mapping) or _arrived(envelope.agent, told)):
        Agent.update(drained=True).where(Agent.id == envelope.agent).execute()


def _arrived(agent_id: UUID, told: Mapping[str, Any]) -> bool:
    """Whether all of *told* is here; rows of an agent's former lives are told of as `earlier`."""
    if int(told.get("pending", 0)) > 0:
        return False
    return all(_has(agent_id, each) for each in (told, *told.get("earlier", ())))


def _has(agent_id: UUID, told: Mapping[str, Any]) -> bool:
    rows = int(told.get("rows", 0))
    if rows == 0:
        return True
    kept = Observation.select().where(
        (Observation.agent_id == agent_id)
        & (Observation.incarnation == str(told["incarnation"]))
        & (Observation.seq.between(int(told["first"]), int(told["last"])))
    )
    return bool(kept.count() >= rows)


def of(agent_id: UUID) -> Contact:
    """Return how *agent_id* stands; *judged*: it is in contact, and its spool has arrived."""
    agent = Agent.get_by_id(agent_id)
    live = agent.last_seen_at > now() - timedelta(seconds=LIVE_S)
    settled = agent.drained or _silent_for(agent) > SPOOL_S or _back_for(agent) > LONGEST_SPOOL_S
    return Contact(agent.hostname, agent.last_seen_at, live and settled, agent.away_s)


def _silent_for(agent: Agent) -> float:
    """Return the seconds in which nothing of the agent's spool has arrived."""
    last = max(agent.contact_since, agent.reported_at or agent.contact_since)
    return float((now() - last).total_seconds())


def _back_for(agent: Agent) -> float:
    return float((now() - agent.contact_since).total_seconds())


def reports(envelope: Envelope) -> None:
    """Record that something of an agent's spool arrives."""
    Agent.update(reported_at=now()).where(
        (Agent.id == envelope.agent) & (Agent.site_id == envelope.site)
    ).execute()


def watcher(flow: Workflow, step: Step) -> UUID | None:
    """Return the agent whose eyes *step* depends on, if it is one's."""
    if step.kind is StepKind.EXPECTATION and flow.run_id is not None:
        return Run.get_by_id(flow.run_id).owner_id
    if step.kind is StepKind.ASSIGNMENT and flow.task_id is not None:
        return Task.get_by_id(flow.task_id).agent_id
    return None


def postponed(flow: Workflow, step: Step) -> datetime | None:
    """Return until when a passed deadline is to wait, None when it is to be judged now.

    The deadline itself is moved by the time that the agent was out of contact since the step began.
    """
    agent_id = watcher(flow, step)
    if agent_id is None:
        return None
    contact = of(agent_id)
    if not contact.judged and contact.last_seen_at > now() - timedelta(seconds=LONGEST_S):
        return now() + timedelta(seconds=LIVE_S / 7)
    owed = contact.away_s - flow.away_s
    flow.away_s = contact.away_s
    flow.deadline_at += timedelta(seconds=owed)
    return flow.deadline_at if flow.deadline_at > now() else None
