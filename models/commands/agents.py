"""Who serves a site: registration, heartbeats, and what is sent to agents."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from models import messages, outbox
from models.commands.moves import now
from models.database import database
from models.errors import NotFound, NotReady
from models.messages import Actor, Envelope, Kind
from models.tables import Agent, Plan, Site

LIVE_S: Final = 35
"""Seconds after its last heartbeat for which an agent counts as live: three beats and a half."""


def signing_key(site_id: UUID) -> bytes:
    """Return the key that the site's messages are signed with.  Raises NotFound."""
    site: Site | None = Site.get_or_none(Site.id == site_id)
    if site is None:
        raise NotFound(f"no site {site_id}")
    return bytes(site.signing_key)


def register(envelope: Envelope) -> None:
    """Record that an agent is there, and send it the whole of its site's plans."""
    body = envelope.body
    row = {
        "site_id": envelope.site,
        "hostname": str(body.get("hostname", ""))[:253],
        "software": str(body.get("version", ""))[:64],
        "speaks": list(body.get("speaks", [])),
        "capabilities": [str(c) for c in body.get("capabilities", [])],
        "advertise": dict(body.get("advertise", {})),
        "incarnation": str(body.get("incarnation", "")),
        "last_seen_at": now(),
    }
    with database.atomic():
        (
            Agent.insert(id=envelope.agent, **row)
            .on_conflict(
                conflict_target=[Agent.id], update=row, where=Agent.site_id == envelope.site
            )
            .execute()
        )
        plans = [p.body for p in Plan.select(Plan.body).where(Plan.site_id == envelope.site)]
        send(envelope.agent, envelope.site, Kind.PLAN, {"plans": plans, "snapshot": True})


def heartbeat(envelope: Envelope) -> None:
    """Record that an agent lives; an agent that control forgot is asked to register by silence."""
    offset = int((float(envelope.body.get("clock", time.time())) - time.time()) * 1000)
    with database.atomic():
        Agent.update(
            last_seen_at=now(),
            plan_digest=str(envelope.body.get("plan_digest", "")),
            clock_offset_ms=max(-(2**31), min(2**31 - 1, offset)),
        ).where((Agent.id == envelope.agent) & (Agent.site_id == envelope.site)).execute()


def newest_live(site_id: UUID, capability: str, *, sticky: UUID | None = None) -> Agent:
    """Return the live agent with *capability* that was heard last, or *sticky* while it lives.

    Raises NotReady with the command to run.
    """
    rows = [a for a in live(site_id) if capability in a.capabilities]
    if not rows:
        raise NotReady(
            f"no live agent of the site can do {capability}",
            field="/siteId",
            hint="Start one with: sprout site (its state: sprout sites health SITE).",
        )
    return next((a for a in rows if a.id == sticky), rows[0])


def live(site_id: UUID) -> list[Agent]:
    """Return the site's live agents, the one heard last first."""
    since = now() - timedelta(seconds=LIVE_S)
    query = Agent.select().where((Agent.site_id == site_id) & (Agent.last_seen_at > since))
    return list(query.order_by(Agent.last_seen_at.desc()))


def send(  # every argument is a column of the envelope
    agent_id: UUID,
    site_id: UUID,
    kind: Kind,
    body: Mapping[str, Any],
    *,
    machine: UUID | None = None,
    seq: int = 0,
    run: UUID | None = None,
    epoch: int = 0,
    request_id: str = "",
    expires_in_s: float | None = None,
) -> None:
    """Promise a signed message to one agent, in the caller's transaction."""
    envelope = Envelope(
        kind=kind,
        site=site_id,
        agent=agent_id,
        run=run,
        epoch=epoch,
        request_id=request_id,
        body=body,
    )
    queue = messages.agent_queue(site_id, agent_id)
    sealed = messages.sealed(envelope, signing_key(site_id))
    data = messages.encoded(
        Actor.COMMAND, queue, {"message": sealed}, now=time.time(), expires_in_s=expires_in_s
    )
    outbox.promise(queue, data, machine=machine, seq=seq)
