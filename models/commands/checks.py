"""What agents' canaries met: the newest of each agent, beside the observation."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog

from models.checks import Check
from models.commands.moves import now
from models.messages import Envelope
from models.observations import Observation
from models.tables import Agent

log = structlog.get_logger()


def keep(envelope: Envelope, seen: Iterable[Observation]) -> None:
    """Keep the checks *seen* with their agent, each in a transaction of its own.

    One that came late, after a newer, changes nothing; nor does one that is malformed.
    """
    for each in seen:
        try:
            told: dict[str, Any] = asdict(Check.of(each.data))
        except (KeyError, TypeError, ValueError) as exc:
            log.warning("check.malformed", agent=str(envelope.agent), why=str(exc))
            continue
        at = min(datetime.fromtimestamp(max(each.at, 0.0), UTC), now())
        newer = Agent.checked_at.is_null() | (Agent.checked_at < at)
        Agent.update(checked=told, checked_at=at).where(
            (Agent.id == envelope.agent) & (Agent.site_id == envelope.site) & newer
        ).execute()
