"""Messages that nobody could work on: kept where they can be listed, looked at, and sent again."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from models import audit, outbox
from models.audit import Caller
from models.database import database
from models.errors import IllegalTransition, NotFound
from models.messages import AUTOMATION_QUEUE, LIMIT
from models.paging import FIRST, Ask, Order, Part
from models.tables import DeadLetter

ORDER: Final = Order(
    "dead-letters", MappingProxyType({"keptAt": DeadLetter.kept_at}), DeadLetter.id, "-keptAt"
)
"""How they can be listed."""

MASKED: Final = "•••"
SECRET: Final = frozenset({"signature", "password", "secret", "token", "blobs", "upload"})
"""Names of values that are never shown."""

_QUEUE: Final = re.compile(r"(?!amq\.)[a-z0-9][a-z0-9._-]{0,59}")
"""What a queue may be called; a dead letter bears any name, for a site's account can write one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter; *body* is not shown as it is: see `shown`."""

    id: UUID
    message_id: str
    queue: str
    reason: str
    detail: str
    died_at: datetime | None
    kept_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None
    size: int
    body: bytes = field(repr=False)


def keep(
    *, message_id: str, queue: str, reason: str, detail: str, died_at: datetime | None, body: bytes
) -> None:
    """Keep a message that ended; the same one again is the same row."""
    digest = hashlib.sha256(body).hexdigest()
    when = "" if died_at is None else died_at.isoformat()
    DeadLetter.insert(
        id=uuid5(NAMESPACE_OID, f"{queue} {digest} {when}"),
        message_id=message_id,
        queue=queue,
        reason=reason,
        detail=detail,
        died_at=died_at,
        body=body,
    ).on_conflict_ignore().execute()


def listed(
    *, replayed: bool | None = None, queue: str | None = None, ask: Ask = FIRST
) -> Part[Letter]:
    """Return dead letters, the newest first unless told."""
    query = DeadLetter.select()
    if replayed is not None:
        query = query.where(DeadLetter.replayed_at.is_null(not replayed))
    if queue is not None:
        query = query.where(DeadLetter.queue == queue)
    return ORDER.part(query, ask, lambda rows: list(map(_letter, rows)))


def one(letter_id: UUID) -> Letter:
    """Return one dead letter.  Raises NotFound."""
    return _letter(_row(letter_id))


def replay(caller: Caller, letter_id: UUID) -> None:
    """Promise the message to its queue once more.  Raises NotFound, or IllegalTransition.

    What died of its age stays dead: a power command of yesterday must not run today.
    """
    with database.atomic():
        row = _row(letter_id, lock=True)
        if row.replayed_at is not None:
            raise IllegalTransition(
                f"the message was sent again at {row.replayed_at:%Y-%m-%d %H:%M:%S} UTC",
                hint="If it died again, it is a dead letter of its own: sprout dead-letters list",
            )
        _check_worth(row)
        row.replayed_at, row.replayed_by = datetime.now(UTC), caller.name
        row.save()
        outbox.promise(row.queue, bytes(row.body))
        audit.record(caller, "dead-letter.replay", kind="dead-letter", id=row.id)


def _check_worth(row: DeadLetter) -> None:
    """Raise IllegalTransition for what can come to nothing, or would stop what comes after it."""
    if not _QUEUE.fullmatch(row.queue):
        raise IllegalTransition("nothing is known of the queue that the message was on")
    if row.queue == AUTOMATION_QUEUE:
        raise IllegalTransition("only who sent a command can prove that he did, and send it again")
    if row.reason == "oversize" or len(row.body) > LIMIT:
        raise IllegalTransition("the message was too large for a queue, and was cut")
    if _too_old(bytes(row.body)):
        raise IllegalTransition(
            "the message is past its age", hint="Ask for the thing itself again."
        )


def shown(body: bytes) -> Any:
    """Return a body as it may be shown: JSON without its secrets, or what can be read of it."""
    try:
        return _masked(json.loads(body))
    except (ValueError, RecursionError):
        return body[:4096].decode("utf-8", errors="replace")


def _masked(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: MASKED if name.lower() in SECRET else _masked(each)
                for name, each in value.items()
            }
        case list():
            return [_masked(each) for each in value]
        case _:
            return value


def _too_old(body: bytes) -> bool:
    try:
        options: Mapping[str, Any] = json.loads(body)["options"]
        expires_at = options.get("expires_at")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    now = datetime.now(UTC).timestamp() * 1000
    return isinstance(expires_at, int) and expires_at <= now


def _row(letter_id: UUID, *, lock: bool = False) -> DeadLetter:
    query = DeadLetter.select().where(DeadLetter.id == letter_id)
    row: DeadLetter | None = (query.for_update() if lock else query).first()
    if row is None:
        raise NotFound(
            f"no dead letter {letter_id}", hint="List them with: sprout dead-letters list"
        )
    return row


def _letter(row: DeadLetter) -> Letter:
    return Letter(
        id=row.id,
        message_id=row.message_id,
        queue=row.queue,
        reason=row.reason,
        detail=row.detail,
        died_at=row.died_at,
        kept_at=row.kept_at,
        replayed_at=row.replayed_at,
        replayed_by=row.replayed_by,
        size=len(row.body),
        body=bytes(row.body),
    )
