"""Who serves a site: registration, heartbeats, and what is sent to agents."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import peewee

from models import clocks, messages, outbox
from models.bootplan import BootPlan
from models.commands import blobs, contact, impostors, rivals, site_networks
from models.commands.contact import LIVE_S
from models.commands.moves import now
from models.commands.records import locked_site
from models.database import database
from models.errors import Denied, NotFound, NotReady
from models.messages import Actor, Envelope, Kind
from models.tables import Agent, Audit, Plan, Run, Site

PLAN_S: Final = 300
"""Seconds after which a plan that nobody took from the queue dies: a snapshot brings it again."""

PART_BYTES: Final = 160 * 1024
"""Of plans in one message of a snapshot; the rest of its limit is for links and envelope."""

_SETTLED_S: Final = 15
"""Seconds since a site's last change of plans after which a digest that differs is no delay."""

_SNAPSHOT_S: Final = 30
"""Least seconds between two snapshots to one agent that nobody asked for."""

# As models.bootplan.snapshot_digest: a line for each plan, in the order of the machines' ids.
_DIGEST: Final = """
SELECT encode(sha256(convert_to(coalesce(string_agg(
    machine_id || ' ' || version || ' ' || digest || chr(10), ''
    ORDER BY machine_id::text COLLATE "C"), ''), 'UTF8')), 'hex'),
    coalesce(max(updated_at), '-infinity') > now() - %s * interval '1 second',
    pg_snapshot_xmin(pg_current_snapshot())::text
FROM plans WHERE site_id = %s
"""

# What this statement's snapshot did not see cannot be held: of each plan, and of each run.
_HOLDS: Final = """
UPDATE agents SET synced_at = now(), held_before = %s::xid8 WHERE id = %s AND site_id = %s
"""
_SETTLED: Final = """
UPDATE runs SET withdrawn_at = now() FROM plans
WHERE plans.machine_id = runs.machine_id AND runs.owner_id = %s AND runs.withdrawn_at IS NULL
    AND runs.plan_version < plans.version AND plans.changed < %s::xid8
"""


def signing_key(site_id: UUID) -> bytes:
    """Return the key that the site's messages are signed with.  Raises NotFound."""
    site: Site | None = Site.get_or_none(Site.id == site_id)
    if site is None:
        raise NotFound(f"no site {site_id}")
    return bytes(site.signing_key)


def enrolled() -> list[UUID]:
    """Return the sites that somebody asked an enrolment of."""
    asked = Audit.select(Audit.site_id).where(
        (Audit.action == "site.enrol") & (Audit.outcome == "done") & ~Audit.site_id.is_null()
    )
    return [row.id for row in Site.select(Site.id).where(Site.id.in_(asked))]


def register(envelope: Envelope) -> None:
    """Record that an agent is there, and send it networks, ranges and all plans of its site.

    Raises Denied for the id of another site's agent, which is written down.
    """
    body = envelope.body
    row = {
        "site_id": envelope.site,
        "hostname": str(body.get("hostname", ""))[:253],
        "software": str(body.get("version", ""))[:64],
        "speaks": list(body.get("speaks", [])),
        "capabilities": [str(c) for c in body.get("capabilities", [])],
        "advertise": dict(body.get("advertise", {})),
        "incarnation": str(body.get("incarnation", "")),
    }
    if (
        Agent.select()
        .where((Agent.id == envelope.agent) & (Agent.site_id != envelope.site))
        .exists()
    ):
        impostors.of_another_site(envelope)
        raise Denied("the agent is another site's", field="/envelope/agent")
    with database.atomic():
        contact.beat(envelope)
        (
            Agent.insert(id=envelope.agent, **row, last_seen_at=now())
            .on_conflict(
                conflict_target=[Agent.id], update=row, where=Agent.site_id == envelope.site
            )
            .execute()
        )
        _tell_networks(envelope)
        snapshot(envelope.agent, envelope.site, answers=str(body.get("asked", ""))[:64])


def heartbeat(envelope: Envelope) -> bool:
    """Record that an agent lives; an agent that control forgot is asked to register by silence.

    Returns whether it is in two places at once; the later one is told to yield.
    """
    offset = _offset_ms(envelope.body)
    told = str(envelope.body.get("plan_digest", ""))
    with database.atomic():
        if not contact.beat(envelope):
            return False
        contact.spool(envelope)
        Agent.update(
            plan_digest=told,
            clock_offset_ms=max(-(2**31), min(2**31 - 1, offset)),
        ).where((Agent.id == envelope.agent) & (Agent.site_id == envelope.site)).execute()
        _compare(envelope, told)
        _compare_networks(envelope)
        return _compare_lives(envelope)


def _compare_lives(envelope: Envelope) -> bool:
    told = rivals.heard(envelope)
    if told is not None:
        body = {"plans": [], "blobs": {}, "rivals": told}
        send(envelope.agent, envelope.site, Kind.PLAN, body, expires_in_s=LIVE_S)
    return told is not None


def _offset_ms(body: Mapping[str, Any]) -> int:
    """Return the agent's clock less ours: as it knows by our messages, else by its heartbeat.

    A heartbeat may have waited in its queue, so that only a clock that is ahead is told by it.
    """
    known = body.get("clock_offset_ms")
    if type(known) is int:
        return known
    return max(0, int((float(body.get("clock", time.time())) - time.time()) * 1000))


def _compare(envelope: Envelope, told: str) -> None:
    """Send everything anew to an agent that does not hold what it should."""
    site, agent = str(envelope.site), str(envelope.agent)
    [(digest, fresh, seen)] = database.execute_sql(_DIGEST, (_SETTLED_S, site))
    if told == digest:
        database.execute_sql(_HOLDS, (seen, agent, site))
        # An agent that holds exactly what it should serves no run that is over.
        database.execute_sql(_SETTLED, (agent, seen))
        return
    since = now() - timedelta(seconds=_SNAPSHOT_S)
    waiting = Agent.select().where(
        (Agent.id == envelope.agent) & (Agent.snapshot_at.is_null() | (Agent.snapshot_at < since))
    )
    if not fresh and waiting.exists():
        snapshot(envelope.agent, envelope.site)


def _compare_networks(envelope: Envelope) -> None:
    """Tell an agent of the networks again when it does not hold the newest; note what it holds.

    One that says nothing of networks knows none.
    """
    held = envelope.body.get("networks_version")
    if not isinstance(held, int) or not 0 <= held < 2**62:
        return
    Agent.update(networks_version=held).where(Agent.id == envelope.agent).execute()
    newest = site_networks.version(envelope.site)
    if held > newest:  # this database was restored, and the agent has seen what was lost
        locked_site(envelope.site, "")
        site_networks.changed(envelope.site, over=held)
    since = now() - timedelta(seconds=_SNAPSHOT_S)
    waiting = Agent.select().where(
        (Agent.id == envelope.agent)
        & (Agent.networks_told_at.is_null() | (Agent.networks_told_at < since))
    )
    if held != newest and waiting.exists():
        _tell_networks(envelope)


def _tell_networks(envelope: Envelope) -> None:
    # Noted only by who already has the agent's row: a change of a network must not wait for it.
    tell_networks(envelope.agent, envelope.site)
    Agent.update(networks_told_at=now()).where(Agent.id == envelope.agent).execute()


def tell_networks(agent_id: UUID, site_id: UUID) -> None:
    """Send an agent all networks of its site, and its own ranges of their pools."""
    body = {"plans": [], "blobs": {}, **site_networks.told(site_id, agent_id)}
    send(agent_id, site_id, Kind.PLAN, body, expires_in_s=PLAN_S)


def snapshot(agent_id: UUID, site_id: UUID, *, answers: str = "") -> None:
    """Send an agent all plans of its site, in as many messages as they need.

    *answers* is the question that its registration asked.
    """
    plans = [p.body for p in Plan.select(Plan.body).where(Plan.site_id == site_id)]
    parts = list(_parts(plans))
    head = {"snapshot": True, "snapshot_id": str(uuid4()), "parts": len(parts), "answers": answers}
    for number, part in enumerate(parts):
        send_plans(agent_id, site_id, part, {**head, "part": number})
    Agent.update(snapshot_at=now()).where(Agent.id == agent_id).execute()


def _parts(plans: Iterable[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    """Yield lists that fit a message each; one, empty, where there is no plan."""
    part: list[Mapping[str, Any]] = []
    room = PART_BYTES
    for plan in plans:
        size = len(json.dumps(plan))
        if part and size > room:
            yield part
            part, room = [], PART_BYTES
        part.append(plan)
        room -= size
    yield part


def send_plans(
    agent_id: UUID,
    site_id: UUID,
    plans: list[Mapping[str, Any]],
    head: Mapping[str, Any],
    **more: Any,
) -> None:
    """Promise *plans* to an agent, with URLs of the files of those that it owns.

    Until when each may be served is written down first.
    """
    owned = [BootPlan.decode(p) for p in plans if p.get("run") and p["owner"] == str(agent_id)]
    _serves([plan.run for plan in owned if plan.run is not None])
    files = {file.sha256: file for plan in owned for file in plan.files}
    links = blobs.links(files.values(), site_id, now()) if files else {}
    ours = {plan.boot_base_url for plan in owned}
    origins = blobs.elsewhere(files.values(), ours) if files else {}
    at = now().timestamp()
    body = {**head, "plans": plans, "blobs": links, "origins": origins, "at": at}
    send(agent_id, site_id, Kind.PLAN, body, expires_in_s=PLAN_S, **more)


def _serves(runs: list[UUID]) -> None:
    if runs:
        valid = peewee.SQL("now() + (%s + valid_for_s) * interval '1 second'", (PLAN_S,))
        Run.update(valid_until=valid).where(Run.id.in_(runs)).execute()


_WANTED: Final = MappingProxyType(
    {"ipmi": "Install ipmitool beside an agent of the site, and start the agent again."}
)
"""What to do where no agent has a capability, but for starting one."""


def newest_live(
    site_id: UUID, capability: str, *, sticky: UUID | None = None, avoid: UUID | None = None
) -> Agent:
    """Return the live agent with *capability* that was heard last, or *sticky* while it lives.

    *avoid* is taken only when there is no other.  Raises NotReady with the command to run, also
    when each one's clock is wrong.
    """
    able = [a for a in live(site_id) if capability in a.capabilities]
    rows = [a for a in able if not clocks.apart(a.clock_offset_ms)]
    if able and not rows:
        demand_clock(able[0])
    if not rows:
        raise NotReady(
            f"no live agent of the site can do {capability}",
            field="/siteId",
            hint=_WANTED.get(
                capability, "Start one with: sprout site (its state: sprout sites health SITE)."
            ),
        )
    others = [a for a in rows if a.id != avoid] or rows
    return next((a for a in others if a.id == sticky), others[0])


def demand_clock(agent: Agent) -> None:
    """Raise NotReady for an agent whose clock is wrong: it is given no work."""
    if wrong := clocks.apart(agent.clock_offset_ms):
        raise NotReady(
            f"the clock of agent {agent.hostname} is {wrong}",
            field="/siteId",
            hint="Set it there: timedatectl set-ntp true, or see: chronyc tracking.",
        )


def live(site_id: UUID) -> list[Agent]:
    """Return the site's live agents, the one heard last first."""
    heard = "site_id = %s AND last_seen_at > %s ORDER BY last_seen_at DESC"
    return Agent.all_where(heard, str(site_id), seen_since())


def seen_since() -> datetime:
    """Return the time since which a live agent was heard."""
    return now() - timedelta(seconds=LIVE_S)


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
