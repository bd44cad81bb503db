"""Whether the process lives, and whether it can do its work: asked by machines, without a token."""

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue

from edge import auth
from edge.live import handover
from models import database, figures, schema
from models.commands import policy_source, server_types, watching

blueprint: Final = Blueprint("health", __name__)

NEEDED: Final = frozenset({"database", "migrations"})
"""Without these no request can be served."""

LATEST: Final = "sprout-readiness"

FRESH_S: Final = 1.0
"""Seconds for which what was found is told again: a look costs a connection to the broker."""

OUTBOX_LATE_S: Final = 60.0
_SHOWN: Final = 3
_PROBE_S: Final = 1.0
_AMQP_PORTS: Final = {"amqp": 5672, "amqps": 5671}


@blueprint.get("/healthz")
def live() -> ResponseReturnValue:
    """Say that the process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def ready() -> ResponseReturnValue:
    """Say what is ready and what is not; 503 when no request could be served.

    What is not NEEDED is told and does not count: while the broker is away, what the edge promises
    waits in the outbox.  Strangers from elsewhere are told whether, and not what.
    """
    latest: Latest = current_app.extensions[LATEST]
    checks = latest.checks()
    lacking = [name for name, check in checks.items() if not check["ok"]]
    good = NEEDED.isdisjoint(lacking)
    status = 200 if good else 503
    if not (auth.from_loopback() or auth.recognized()):
        return {"ready": good}, status
    return {"ready": good, "notReady": lacking, "checks": checks}, status


class Latest:
    """What was found at most FRESH_S ago: whoever asks often costs no more than who asks once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: Mapping[str, Any] = {}
        self._until = 0.0

    def checks(self) -> Mapping[str, Any]:
        """Return each check by its name; one caller looks, and the others wait for him."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = _checks()
                self._until = time.monotonic() + FRESH_S
            return self._found


def _checks() -> Mapping[str, Any]:
    config = current_app.extensions["sprout"]
    reachable = database.reachable()
    migrations = _read(reachable, _migrations)
    return {
        "database": _check(reachable, "PostgreSQL answers", "PostgreSQL cannot be reached"),
        "migrations": migrations,
        "outbox": _read(reachable, _outbox),
        "broker": broker_check(config.broker),
        "events": _events(config.events_socket),
        "keys": _keys(),
        "policy": _policy(),
        "serverTypes": _server_types(),
        "providers": _read(migrations["ok"], _providers),
    }


def _read(reachable: bool, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:  # noqa: FBT001 - what is told about
    """Return what *check* finds in the database, if that is there."""
    away = _check(False, "", "not known while PostgreSQL is not as it must be")  # noqa: FBT003 - the same
    if not reachable:
        return away
    try:
        with database.borrowed():
            return check()
    except database.Unavailable:
        return away


def _migrations() -> dict[str, Any]:
    lacking = schema.pending()
    told = f"the database lacks {', '.join(lacking)}: python -m models.migrations"
    return _check(not lacking, "the database is as this version wants it", told)


def _outbox() -> dict[str, Any]:
    age_s = figures.outbox_age_s()
    late = f"the oldest message waits since {age_s:.0f} s: does control run, and the broker?"
    return _check(age_s < OUTBOX_LATE_S, "what was promised is sent", late)


def _events(path: Path) -> dict[str, Any]:
    try:
        found = handover.figures(path)
    except handover.NotTaken as exc:
        return _check(False, "", f"pages ask instead of listening: {exc}")  # noqa: FBT003 - as above
    deaf = "live streams are held, and the database is not heard"
    return _check(bool(found["listening"]), f"{found['open']} live streams", deaf)


def _keys() -> dict[str, Any]:
    """Say whether sessions can be known, and tokens of the issuer be verified."""
    issuer = auth.issuer()
    if issuer is not None and issuer.keys_are_missing:
        return _check(False, "", "the issuer's keys could not be fetched")  # noqa: FBT003 - as above
    lacking = "no browser is let in: SPROUT_SESSION_KEY, or every way in, is missing"
    return _check(auth.sessions_possible(), "sessions can be known", lacking)


def _policy() -> dict[str, Any]:
    """Say which policy is in force; a file that is bad is told, and the last good one holds."""
    now = policy_source.standing()
    detail = now.trouble or f"{now.source} is in force"
    if now.trouble and now.source:
        detail = f"{now.trouble}; what {now.source} said before is still in force"
    return {"ok": not now.trouble, "detail": detail, "sha256": now.digest}


def _server_types() -> dict[str, Any]:
    """Say how many server types there are; a bad file is told, and the last good one holds."""
    now = server_types.standing()
    good = f"{now.count} are in force" if now.source else "no file is named"
    return _check(not now.trouble, good, now.told)


def _providers() -> dict[str, Any]:
    """Say which external providers do not work, and what is left at them for a person."""
    found = watching.standing()
    ill = [f"{each.capability}: {each.detail}" for each in found if not each.good]
    left = [f"{what}: {name}: {why}" for what, name, why in watching.left()]
    more = [f"and {len(left) - _SHOWN} more are left"] if len(left) > _SHOWN else []
    good = ", ".join(each.capability for each in found) or "none"
    told = "; ".join([*ill, *left[:_SHOWN], *more])
    return _check(not (ill or left), f"external providers that work: {good}", told)


def broker_check(url: str) -> dict[str, Any]:
    """Return the kind of broker, and whether something listens where it is said to be."""
    parts = urlsplit(url)
    if parts.scheme not in _AMQP_PORTS:
        kind = "postgres" if url.startswith("postgres") else "none"
        note = "the embedded queue in PostgreSQL" if url else "no broker is configured"
        return {"ok": bool(url), "kind": kind, "detail": note}
    where = (parts.hostname or "localhost", parts.port or _AMQP_PORTS[parts.scheme])
    try:
        socket.create_connection(where, timeout=_PROBE_S).close()
    except OSError:
        return {
            "ok": False,
            "kind": "rabbitmq",
            "detail": "RabbitMQ is away; promises wait",
        }
    return {"ok": True, "kind": "rabbitmq", "detail": "RabbitMQ listens"}


def _check(ok: bool, good: str, bad: str) -> dict[str, Any]:  # noqa: FBT001 - what is told about
    return {"ok": ok, "detail": good if ok else bad}
