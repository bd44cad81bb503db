"""Sealing the audit, and reading it whole to be verified."""

from typing import Any, Final
from uuid import UUID

from peewee import fn

from models import seals
from models.commands.moves import now
from models.database import database
from models.seals import Seal
from models.tables import Audit, AuditSeal

MOST: Final = 500
"""Rows under one seal."""

BEHIND: Final = 10_000
"""A row whose transaction ends after so many later ones were sealed is found by verifying only."""

_LOCK: Final = 0x5EA1
"""The advisory lock of whoever seals: two at once would fork the chain."""

_FREE: Final = "SELECT pg_try_advisory_xact_lock(%s)"
_UNSEALED: Final = """
    SELECT a.id FROM audit a
    WHERE a.id > %s AND a.id <> ALL (
        SELECT unnest(s.ids) FROM audit_seals s WHERE s.last_id > %s)
    ORDER BY a.id LIMIT %s
"""


def seal_next() -> Seal | None:
    """Seal what is committed and not sealed yet, up to MOST rows; None when there is nothing.

    Also None while another process seals.
    """
    with database.atomic():
        (free,) = database.execute_sql(_FREE, (_LOCK,)).fetchone()
        if not free:
            return None
        last: AuditSeal | None = AuditSeal.select().order_by(AuditSeal.id.desc()).first()
        ids = _unsealed()
        return _made(ids, seals.START if last is None else last.hash) if ids else None


def _unsealed() -> list[int]:
    newest: int = AuditSeal.select(fn.MAX(AuditSeal.last_id)).scalar() or 0
    floor = newest - BEHIND
    rows = database.execute_sql(_UNSEALED, (floor, floor, MOST)).fetchall()
    return [found for (found,) in rows]


def _made(ids: list[int], previous: str) -> Seal:
    rows = Audit.select().where(Audit.id.in_(ids)).order_by(Audit.id)
    sealed = seals.digest(previous, [_told(row) for row in rows])
    made = AuditSeal.create(
        first_id=ids[0],
        last_id=ids[-1],
        ids=ids,
        previous=previous,
        hash=sealed,
        sealed_at=now(),
    )
    return Seal(made.id, tuple(ids), previous, sealed)


def _told(row: Audit) -> dict[str, Any]:
    """Return *row* by the names that `/v1/audit` gives."""
    return {
        "id": row.id,
        "at": row.at,
        "actor": row.actor,
        "action": row.action,
        "objectKind": row.object_kind,
        "objectId": row.object_id,
        "siteId": _text(row.site_id),
        "machineId": _text(row.machine_id),
        "outcome": row.outcome,
        "reason": row.reason,
        "requestId": row.request_id,
        "sourceIp": row.source_ip,
        "data": row.data,
    }


def _text(found: UUID | None) -> str | None:
    return None if found is None else str(found)
