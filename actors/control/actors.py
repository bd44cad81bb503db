"""What messages call.  Each is safe to repeat; its bounds are spelled out.

A database that is away is waited for, with the message held: it is neither lost nor a dead letter.
A process that is told to end meanwhile leaves the message unacknowledged, and another gets it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import dramatiq
import structlog

from actors.control import peers
from actors.control.rendering import documents
from models.commands import agents, reports, tasks, walks
from models.database import Unavailable, borrowed, database
from models.errors import Invalid
from models.messages import (
    ACTORS,
    Actor,
    Envelope,
    Kind,
    opened,
    site_of,
)
from models.observations import URGENT

_PAUSE_S: Final = (0.1, 0.5, 1.0, 2.0)
"""Between tries while the database is away; the last is repeated."""

AT_ONCE: Final = -1
"""Before all other messages that this process has fetched; theirs is 0."""

log = structlog.get_logger()


def patiently(verb: Callable[[], None]) -> None:
    """Call *verb* with a borrowed connection; again, for as long as the database is away."""
    tries = 0
    while True:
        try:
            with borrowed():
                return verb()
        except Unavailable as exc:
            log.warning("database.away", why=str(exc), tries=tries)
            time.sleep(_PAUSE_S[min(tries, len(_PAUSE_S) - 1)])
            tries += 1


@dramatiq.actor(
    actor_name=Actor.ADVANCE.value,
    queue_name=ACTORS[Actor.ADVANCE].queue,
    time_limit=ACTORS[Actor.ADVANCE].limit_s * 1000,
)
def advance(workflow: str, request_id: str = "") -> None:
    """Carry a workflow on as far as it goes without waiting."""
    log.info("workflow.advance", workflow=workflow)
    patiently(lambda: walks.advance(UUID(workflow), documents))


@dramatiq.actor(
    actor_name=Actor.REPORT.value,
    queue_name=ACTORS[Actor.REPORT].queue,
    time_limit=ACTORS[Actor.REPORT].limit_s * 1000,
)
def report(message: Mapping[str, Any]) -> None:
    """Take in what an agent says, after it was checked that it is this agent who says it."""
    patiently(lambda: _take(message))


@dramatiq.actor(
    actor_name=Actor.RENEW.value,
    queue_name=ACTORS[Actor.RENEW].queue,
    time_limit=ACTORS[Actor.RENEW].limit_s * 1000,
    priority=AT_ONCE,
)
def renew(message: Mapping[str, Any]) -> None:
    """Extend the leases that an agent asks for, and answer it; take in what it says in haste."""
    patiently(lambda: _renew(message))


def _opened(message: Mapping[str, Any]) -> Envelope:
    envelope = opened(message, agents.signing_key(site_of(message)))
    peers.judge(message, envelope)
    return envelope


def _renew(message: Mapping[str, Any]) -> None:
    envelope = _opened(message)
    if envelope.kind is Kind.OBSERVATIONS:
        reports.receive(envelope, documents, only=URGENT)
        return
    if envelope.kind is not Kind.RENEW:
        raise Invalid(f"no renewal: {envelope.kind.value}", field="/envelope/kind")
    with database.atomic():
        tasks.renew(envelope)


def _take(message: Mapping[str, Any]) -> None:
    envelope = _opened(message)
    log.debug("report.taken", kind=envelope.kind, agent=str(envelope.agent))
    _BY_KIND.get(envelope.kind, _misdirected)(envelope)


def _observed(envelope: Envelope) -> None:
    reports.receive(envelope, documents)


def _beaten(envelope: Envelope) -> None:
    if agents.heartbeat(envelope):
        log.warning("agent.doubled", agent=str(envelope.agent), site=str(envelope.site))


def _misdirected(envelope: Envelope) -> None:
    raise Invalid(f"no report: {envelope.kind.value}", field="/envelope/kind")


_BY_KIND: Final[Mapping[Kind, Callable[[Envelope], None]]] = {
    Kind.REGISTER: agents.register,
    Kind.HEARTBEAT: _beaten,
    Kind.OBSERVATIONS: _observed,
}
