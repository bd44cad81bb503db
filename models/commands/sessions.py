"""Browsers' sessions, kept here and known by a hash of their cookie; passwords that were tried."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from peewee import fn

from models import audit
from models.audit import Caller
from models.commands.moves import now
from models.database import database
from models.tables import LoginAttempt, Session

WINDOW: Final = timedelta(minutes=15)
FROM_ONE: Final = 5
FROM_ALL: Final = 100
"""Failed attempts within WINDOW, from one address and from all, after which none is looked at."""

_LOCK: Final = 0x5B0A8


def read(hashed: str) -> Mapping[str, Any] | None:
    """Return what the session with this hash holds; None for any that is not good now."""
    row: Session | None = Session.get_or_none(
        (Session.hash == hashed) & (Session.expires_at > now())
    )
    return None if row is None else dict(row.data)


def alive(hashes: Collection[str]) -> frozenset[str]:
    """Return those of *hashes* whose sessions are good now."""
    query = Session.select(Session.hash)
    rows = query.where(Session.hash.in_(hashes) & (Session.expires_at > now()))
    return frozenset(row.hash for row in rows)


def write(hashed: str, data: Mapping[str, Any], *, life: timedelta) -> None:
    """Keep a session for *life* from when it began; those that have ended are forgotten."""
    at = now()
    with database.atomic():
        changed = Session.update(data=dict(data)).where(Session.hash == hashed).execute()
        if not changed:
            Session.delete().where(Session.expires_at < at).execute()
            Session.create(hash=hashed, data=dict(data), created_at=at, expires_at=at + life)


def forget(hashed: str) -> None:
    """End a session."""
    Session.delete().where(Session.hash == hashed).execute()


def begun(caller: Caller, **data: Any) -> None:
    """Write down that somebody came in."""
    with database.atomic():
        audit.record(caller, "session.create", kind="session", data=data)


def attempt(source: str) -> int | None:
    """Count a password that is about to be tried from *source*; return the attempt's number.

    None when there were too many.  It is counted before it is looked at: of many at once no more
    than the limit are.
    """
    since = now() - WINDOW
    with database.atomic():
        # One after another: of two that do not see each other both would be the last allowed.
        database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        LoginAttempt.delete().where(LoginAttempt.at < since).execute()
        mine = LoginAttempt.create(source=source, at=now())
        recent = LoginAttempt.select(fn.COUNT(LoginAttempt.id)).where(LoginAttempt.at >= since)
        everybody = int(recent.scalar())
        own = int(recent.where(LoginAttempt.source == source).scalar())
        if own > FROM_ONE or everybody > FROM_ALL:
            mine.delete_instance()
            return None
    return int(mine.id)


def succeeded(attempt_id: int) -> None:
    """Count an attempt no more: the password was right."""
    LoginAttempt.delete().where(LoginAttempt.id == attempt_id).execute()
