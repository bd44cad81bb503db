"""Messages that were promised in a transaction, and the relay's way to keep the promise."""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from models.database import database
from models.tables import Outbox

BATCH: Final = 200

Send = Callable[[Sequence[tuple[str, bytes]]], None]
"""Publishes (queue, encoded message) pairs; returns when all are confirmed, or raises."""


def promise(queue: str, body: bytes, *, machine: UUID | None = None, seq: int = 0) -> None:
    """Promise *body* to *queue* in the caller's transaction."""
    Outbox.record(queue=queue, body=body, machine_id=machine, seq=seq)


def drain(send: Send, *, limit: int = BATCH) -> int:
    """Pass promised messages to *send*, oldest first; return how many went.

    Rows that another relay holds are skipped.  If *send* raises, the rows stay: a message may go
    twice, and none is lost.
    """
    with database.atomic():
        rows = list(
            Outbox.select(Outbox.id, Outbox.queue, Outbox.body)
            .order_by(Outbox.id)
            .limit(limit)
            .for_update(skip_locked=True)
        )
        if rows:
            send([(row.queue, bytes(row.body)) for row in rows])
            Outbox.delete().where(Outbox.id.in_([row.id for row in rows])).execute()
    return len(rows)
