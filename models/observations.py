"""What was seen of a machine: the rows of its timeline.

An observation is a fact with a place and a time, never an order.  The engine moves the machine;
an observation that comes late, twice or from a stranger is kept and moves nothing.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID

_Value = TypeVar("_Value")


class Source(StrEnum):
    """Who saw it."""

    DHCP = "dhcp"
    TFTP = "tftp"
    HTTP = "http"
    AGENT = "agent"
    BMC = "bmc"
    CONTROL = "control"
    OPERATOR = "operator"


class Seen(StrEnum):
    """The kinds of observation.  Stored and sent: add, never rename."""

    DHCP_OFFERED = "dhcp-offered"
    DHCP_ACKED = "dhcp-acked"
    DHCP_REFUSED = "dhcp-refused"
    DHCP_IGNORED = "dhcp-ignored"
    DHCP_HEARD = "dhcp-heard"
    MACHINE_DISCOVERED = "machine-discovered"
    TFTP_SENT = "tftp-sent"
    TFTP_FAILED = "tftp-failed"
    SCRIPT_SERVED = "script-served"
    LOCAL_BOOT_SERVED = "local-boot-served"
    BOOT_TROUBLE = "boot-trouble"
    BOOT_FAILED = "boot-failed"
    ARTIFACT_SERVED = "artifact-served"
    SEED_SERVED = "seed-served"
    INSTALL_STARTED = "install-started"
    INSTALL_PROGRESS = "install-progress"
    INSTALL_FAILED = "install-failed"
    INSTALLED = "installed"
    ANSWER_SERVED = "answer-served"
    ANSWER_REPEATED = "answer-repeated"
    DEPLOY_STARTED = "deploy-started"
    DEPLOY_PROGRESS = "deploy-progress"
    DEPLOY_FAILED = "deploy-failed"
    INVENTORIED = "inventoried"
    WIPED = "wiped"
    PHONED_HOME = "phoned-home"
    HOME_SUSPECT = "home-suspect"
    KEY_REMOVED = "key-removed"
    KEY_LEFT = "key-left"
    STRANGE_REQUEST = "strange-request"
    PLAN_SERVED = "plan-served"
    PLAN_REFUSED = "plan-refused"
    PLAN_WITHDRAWN = "plan-withdrawn"
    PLAN_OUTDATED = "plan-outdated"
    ARTIFACT_AWAITED = "artifact-awaited"
    TASK_STARTED = "task-started"
    TASK_DONE = "task-done"
    TASK_FAILED = "task-failed"
    TASK_PROGRESS = "task-progress"
    TASK_OUTPUT = "task-output"
    EVIDENCE_KEPT = "evidence-kept"
    EVIDENCE_DROPPED = "evidence-dropped"
    SITE_CHECKED = "site-checked"
    BMC_CALL = "bmc-call"
    ASKED = "asked"
    CONFIRMED = "confirmed"
    STEP_BEGUN = "step-begun"
    STEP_DONE = "step-done"
    STEP_FAILED = "step-failed"
    STATE_MOVED = "state-moved"
    PHASE_MOVED = "phase-moved"
    GAVE_UP = "gave-up"
    CANCELLED = "cancelled"
    UNREADABLE = "unreadable"


DURABLE: Final = frozenset(
    {
        Seen.BOOT_FAILED,
        Seen.INSTALL_STARTED,
        Seen.INSTALLED,
        Seen.INSTALL_FAILED,
        Seen.ANSWER_SERVED,
        Seen.ANSWER_REPEATED,
        Seen.DEPLOY_STARTED,
        Seen.DEPLOY_FAILED,
        Seen.INVENTORIED,
        Seen.WIPED,
        Seen.PHONED_HOME,
        Seen.HOME_SUSPECT,
        Seen.PLAN_SERVED,
        Seen.PLAN_REFUSED,
        Seen.PLAN_WITHDRAWN,
        Seen.PLAN_OUTDATED,
        Seen.TASK_STARTED,
        Seen.TASK_DONE,
        Seen.TASK_FAILED,
        Seen.EVIDENCE_KEPT,
        Seen.EVIDENCE_DROPPED,
    }
)
"""Kinds that are fsynced at the site before anybody is answered."""


URGENT: Final = frozenset({Seen.TASK_STARTED, Seen.TASK_DONE, Seen.TASK_FAILED})
"""Kinds that somebody waits for: they go by the way of the renewals too, past any flood."""

SHORT: Final = 2000
"""Characters of an unreadable row's data that are kept with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing seen.

    *at* is seconds since the epoch on the clock of whoever saw it; *data* is plain JSON and
    never holds a secret (tokens are masked before they get here).
    """

    kind: Seen
    source: Source
    at: float
    mac: str | None = None
    machine: UUID | None = None
    run: UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> dict[str, Any]:
        """Return the JSON form that crosses the queue."""
        ids = {"mac": self.mac, "machine": _text(self.machine), "run": _text(self.run)}
        known = {key: value for key, value in ids.items() if value is not None}
        return {
            "kind": self.kind.value,
            "source": self.source.value,
            "at": self.at,
            **known,
            "data": dict(self.data),
        }


def decode(body: Mapping[str, Any]) -> Observation:
    """Return the observation that *body* is.  Raises ValueError, KeyError or TypeError."""
    return Observation(
        kind=Seen(body["kind"]),
        source=Source(body["source"]),
        at=_finite(body["at"]),
        mac=_mac(body.get("mac")),
        machine=_uuid(body.get("machine")),
        run=_uuid(body.get("run")),
        data=dict(body.get("data") or {}),
    )


def read(body: Mapping[str, Any]) -> Observation:
    """Return the observation that *body* is, or one that shows what could not be read.

    A newer version knows kinds that this one does not: they are kept, by what they say of
    themselves, and move nothing.
    """
    try:
        return decode(body)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        why = f"{type(exc).__name__}: {exc}"[:200]
    told: dict[str, Any] = {"was": str(body.get("kind"))[:64], "why": why}
    data = body.get("data")
    if isinstance(data, dict) and len(json.dumps(data)) <= SHORT:
        told["said"] = data
    return Observation(
        kind=Seen.UNREADABLE,
        source=_readable(Source, body.get("source")) or Source.AGENT,
        at=_readable(_finite, body.get("at")) or 0.0,
        machine=_readable(_uuid, body.get("machine")),
        run=_readable(_uuid, body.get("run")),
        data=told,
    )


def _readable(read_as: Callable[[Any], _Value], value: Any) -> _Value | None:
    try:
        return read_as(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _finite(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError("a time that never comes")
    return seconds


def _mac(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("the MAC is no text")
    return value


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _uuid(value: Any) -> UUID | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("an id is no text")
    return None if value is None else UUID(value)
