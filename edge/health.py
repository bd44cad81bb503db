"""Whether the process lives, and whether it can do its work: asked by machines, without a token."""

import socket
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue

from models import database
from models.commands import policy_source

blueprint: Final = Blueprint("health", __name__)

_PROBE_S: Final = 1.0
_AMQP_PORTS: Final = {"amqp": 5672, "amqps": 5671}


@blueprint.get("/healthz")
def live() -> ResponseReturnValue:
    """Say that the process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def ready() -> ResponseReturnValue:
    """Say what is ready and what is not; 503 when no request could be served.

    A broker that is away is told and does not count: what the edge promises waits in the outbox.
    """
    reachable = database.reachable()
    checks = {
        "database": _check(reachable, "PostgreSQL answers", "PostgreSQL cannot be reached"),
        "broker": broker_check(current_app.extensions["sprout"].broker),
        "policy": _policy(),
    }
    body = {"ready": reachable, "checks": checks}
    return body, 200 if reachable else 503


def _policy() -> dict[str, Any]:
    """Say which policy is in force; a file that is bad is told, and the last good one holds."""
    now = policy_source.standing()
    detail = now.trouble or f"{now.source} is in force"
    if now.trouble and now.source:
        detail = f"{now.trouble}; what {now.source} said before is still in force"
    return {"ok": not now.trouble, "detail": detail, "sha256": now.digest}


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
