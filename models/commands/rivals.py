"""One agent in two places: a copied store has its id, its queue, and half of what is sent there.

Each start of a site has an incarnation of its own.  A restart ends one and begins another; two that
both go on beating are two processes.
"""

from datetime import timedelta
from typing import Any, Final

from models import audit
from models.audit import Caller
from models.commands.moves import now
from models.messages import Envelope
from models.tables import Agent

BEATS: Final = 3
"""Beats of each since the newest was first heard: one that comes late, or twice, is no proof."""

TOGETHER_S: Final = 25.0
"""Seconds for which both must have gone on."""

HEARD_S: Final = 60.0
"""Seconds after its last beat for which a life, and a doubling, counts."""

Lives = dict[str, dict[str, Any]]
"""By incarnation: when it was heard `first` and `last` (seconds since the epoch), and `beats`."""


def heard(envelope: Envelope) -> dict[str, Any] | None:
    """Take note of who beats; return who is to yield to whom where there are two, else None.

    In the transaction that holds the agent's row.
    """
    said = str(envelope.body.get("incarnation") or "")[:64]
    mine = (Agent.id == envelope.agent) & (Agent.site_id == envelope.site)
    agent: Agent | None = Agent.get_or_none(mine)
    if agent is None or not said:
        return None
    lives = _beaten(agent.lives, said, now().timestamp())
    Agent.update(lives=lives).where(mine).execute()
    if not _together(lives):
        return None
    _alarm(agent, envelope)
    first, *others = sorted(lives, key=lambda each: lives[each]["first"])
    return {"holds": first, "yields": others}


def doubled(agent: Agent) -> bool:
    """Whether two processes spoke with the agent's id a moment ago."""
    last = agent.doubled_at
    return last is not None and last > now() - timedelta(seconds=HEARD_S)


def _beaten(before: Lives, said: str, at: float) -> Lives:
    lives = {name: dict(it) for name, it in before.items() if it["last"] > at - HEARD_S}
    if said not in lives:
        lives = {name: it | {"beats": 0} for name, it in lives.items()}
    own = lives.get(said, {"first": at, "beats": 0})
    return lives | {said: {"first": own["first"], "last": at, "beats": own["beats"] + 1}}


def _together(lives: Lives) -> bool:
    if len(lives) == 1:
        return False
    began = max(it["first"] for it in lives.values())
    return all(it["beats"] >= BEATS and it["last"] - began >= TOGETHER_S for it in lives.values())


def _alarm(agent: Agent, envelope: Envelope) -> None:
    """Write it down, once for as long as it lasts."""
    if not doubled(agent):
        audit.record(
            Caller(name=f"agent {agent.id}", request_id=str(envelope.id)),
            "agent.doubled",
            kind="agent",
            id=agent.id,
            site=agent.site_id,
            reason="two processes speak with this agent's id: its store was copied",
            refused=True,
        )
    Agent.update(doubled_at=now()).where(Agent.id == agent.id).execute()
