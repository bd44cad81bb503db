"""Answers kept for who asks the same again: one for each caller and key, for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from models.commands.moves import now
from models.database import database
from models.errors import DomainError
from models.tables import IdempotencyKey

LIFE: Final = timedelta(hours=24)
"""For how long an answer is kept."""

# Whoever comes with the same key meanwhile waits here for the first one's transaction to end.
_CLAIM: Final = """
INSERT INTO idempotency_keys AS k (caller, key, asked, expires_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (caller, key) DO UPDATE SET asked = excluded.asked, status = NULL, headers = '{}',
    body = NULL, created_at = now(), expires_at = excluded.expires_at
WHERE k.expires_at <= now()
RETURNING key
"""


class OtherRequest(DomainError):
    """The key was sent with another request before."""

    code = "idempotency-mismatch"


class NotKept(DomainError):
    """The request was done, and its answer held a secret."""

    code = "answer-not-kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def claim(caller: str, key: str, asked: bytes) -> Kept | None:
    """Take the key for the request with the digest *asked*, in the caller's transaction.

    Return what was answered to it before; None: it is new, and `keep` has to follow.  Raises
    OtherRequest, and NotKept.
    """
    taken = database.execute_sql(_CLAIM, (caller, key, asked, now() + LIFE)).fetchone()
    if taken is not None:
        return None
    row: IdempotencyKey = IdempotencyKey.select().where(*_is(caller, key)).get()
    if bytes(row.asked) != asked:
        raise OtherRequest(
            "this key was sent with another request",
            hint="Choose a new Idempotency-Key for each thing that you want done.",
        )
    if row.status is None or row.body is None:
        raise NotKept(
            "the request was done, and its answer is not kept since it held a secret",
            hint="Ask with a new Idempotency-Key for a new one.",
        )
    return Kept(status=row.status, headers=row.headers, body=bytes(row.body))


def keep(caller: str, key: str, answer: Kept | None) -> None:
    """Keep *answer* under the key; None: it was given, and is not to be kept."""
    if answer is not None:
        changed = IdempotencyKey.update(
            status=answer.status, headers=dict(answer.headers), body=answer.body
        )
        changed.where(*_is(caller, key)).execute()


def release(caller: str, key: str) -> None:
    """Forget the key: what was asked was refused, and may be asked again."""
    IdempotencyKey.delete().where(*_is(caller, key)).execute()


def prune() -> int:
    """Forget what is past its time; return how many there were."""
    return int(IdempotencyKey.delete().where(IdempotencyKey.expires_at <= now()).execute())


def _is(caller: str, key: str) -> tuple[Any, Any]:
    return IdempotencyKey.caller == caller, IdempotencyKey.key == key
