"""What crosses the queue: a signed envelope inside the encoded message of a named actor.

Within a version only optional fields are added and unknown ones are ignored.  Queue names end in
the version of the queue's *arguments*, since those cannot be changed in place.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from models.errors import Denied, Invalid

VERSION: Final = 1
SPOKEN: Final = frozenset({VERSION})
LIMIT: Final = 256 * 1024
"""Bytes of one message; bulk goes by content address, never by queue."""

CONTROL_QUEUE: Final = "sprout.control.1"
REPORT_QUEUE: Final = "sprout.reports.1"
LEASE_QUEUE: Final = "sprout.leases.1"
"""Renewals have a queue of their own, so that no flood of reports delays them."""

AUTOMATION_QUEUE: Final = "sprout.automation"
EVENTS_EXCHANGE: Final = "sprout.events"
UPWARD_EXCHANGE: Final = "sprout.up"
"""The one exchange that a site's account may publish to; its keys are what an agent may say."""


class Actor(StrEnum):
    """The names that messages are addressed to.  Add, never rename."""

    ADVANCE = "advance"
    REPORT = "report"
    RENEW = "renew"
    COMMAND = "command"
    ERRAND = "errand"


class Kind(StrEnum):
    """What an envelope holds.

    Control → agent: plan, task, cancel, renewed.  Agent → control: the others.
    """

    PLAN = "plan"
    TASK = "task"
    CANCEL = "cancel"
    RENEWED = "renewed"
    REGISTER = "register"
    HEARTBEAT = "heartbeat"
    OBSERVATIONS = "observations"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Answering:
    """How an actor is called: its queue, how long it may run (seconds), how often it is tried."""

    queue: str
    limit_s: int
    tries: int


DELIVERIES: Final = 6
"""How often one message is handed to a worker before it counts as poison."""

_PATIENT_S: Final = 24 * 3600
"""Long: such an actor ends by itself in milliseconds, or waits for the database."""

ACTORS: Final[Mapping[Actor, Answering]] = MappingProxyType(
    {
        Actor.ADVANCE: Answering(CONTROL_QUEUE, _PATIENT_S, DELIVERIES),
        Actor.REPORT: Answering(REPORT_QUEUE, _PATIENT_S, DELIVERIES),
        Actor.RENEW: Answering(LEASE_QUEUE, _PATIENT_S, DELIVERIES),
        Actor.ERRAND: Answering(CONTROL_QUEUE, 60, DELIVERIES),
        Actor.COMMAND: Answering("sprout.agent.SITE.AGENT.1", 60, DELIVERIES),
    }
)
"""Every actor; `sprout actors` prints it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message between control and an agent; *body* is plain JSON by kind."""

    kind: Kind
    site: UUID
    agent: UUID
    id: UUID = field(default_factory=uuid4)
    run: UUID | None = None
    epoch: int = 0
    request_id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    v: int = VERSION


AGENT_QUEUES: Final = "sprout.agent."
"""What the name of every agent's queue begins with."""


def agent_queues(site: UUID) -> str:
    """Return what the names of the site's agents' queues begin with: what its account may read."""
    return f"{AGENT_QUEUES}{site.hex[:16]}."


def agent_queue(site: UUID, agent: UUID) -> str:
    """Return the name of the queue that only this agent reads.

    The first 16 hexadecimal digits of each id: names of the embedded queue hold 60 characters.
    """
    return f"{agent_queues(site)}{agent.hex[:16]}.1"


def sealed(envelope: Envelope, key: bytes) -> dict[str, Any]:
    """Return the JSON form of *envelope* with its signature."""
    body = {
        "v": envelope.v,
        "kind": envelope.kind.value,
        "id": str(envelope.id),
        "site": str(envelope.site),
        "agent": str(envelope.agent),
        "run": None if envelope.run is None else str(envelope.run),
        "epoch": envelope.epoch,
        "request_id": envelope.request_id,
        "body": dict(envelope.body),
    }
    return {"envelope": body, "signature": _signature(body, key)}


def site_of(message: Mapping[str, Any]) -> UUID:
    """Return the site that *message* claims to speak for, to find its key by.  Raises Invalid."""
    try:
        return UUID(message["envelope"]["site"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Invalid("the message names no site", field="/envelope/site") from exc


def opened(message: Mapping[str, Any], key: bytes) -> Envelope:
    """Return the envelope of *message*, whose signature was made with *key*.

    Raises Denied for a wrong signature, and Invalid for a form or version that is not spoken.
    """
    body = message.get("envelope")
    if not isinstance(body, dict):
        raise Invalid("the message holds no envelope", field="/envelope")
    if not hmac.compare_digest(str(message.get("signature", "")), _signature(body, key)):
        raise Denied("the signature is not this site's", field="/signature")
    if body.get("v") not in SPOKEN:
        raise Invalid(f"message version {body.get('v')!r} is not spoken here", field="/envelope/v")
    try:
        return Envelope(
            v=body["v"],
            kind=Kind(body["kind"]),
            id=UUID(body["id"]),
            site=UUID(body["site"]),
            agent=UUID(body["agent"]),
            run=None if body.get("run") is None else UUID(body["run"]),
            epoch=int(body.get("epoch", 0)),
            request_id=str(body.get("request_id", "")),
            body=dict(body["body"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Invalid(f"the envelope is malformed: {exc}", field="/envelope") from exc


def encoded(
    actor: Actor,
    queue: str,
    kwargs: Mapping[str, Any],
    *,
    now: float,
    expires_in_s: float | None = None,
) -> bytes:
    """Return the encoded dramatiq message that calls *actor* with *kwargs* on *queue*.

    *now* is in seconds since the epoch; the message dies of its age *expires_in_s* seconds later,
    if given.  Raises Invalid for a message over LIMIT.
    """
    options = {} if expires_in_s is None else {"expires_at": int((now + expires_in_s) * 1000)}
    message: dict[str, Any] = {
        "queue_name": queue,
        "actor_name": actor.value,
        "args": [],
        "kwargs": dict(kwargs),
        "options": options,
        "message_id": str(uuid4()),
        "message_timestamp": int(now * 1000),
    }
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > LIMIT:
        raise Invalid(f"a message of {len(data)} bytes is over {LIMIT}", field="/body")
    return data


def _signature(body: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()
