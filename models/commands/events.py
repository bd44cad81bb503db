"""Domain events: written in the transaction of what happened, published in order per machine."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from peewee import JOIN, SQL, fn

from models import events
from models.database import database
from models.events import SHARDS, About
from models.tables import Discovery, DomainEvent, Machine, Site
from models.whereabouts import Sites

CHANNEL: Final = "sprout_domain_events"
"""Where PostgreSQL says, at commit, that there are new events."""

KEPT: Final = timedelta(days=7)
"""How long a published event can still be read."""

BATCH: Final = 200

_LOCK_CLASS: Final = 0x5EED0
"""First key of the shards' advisory locks."""

OPEN_SINCE: Final = (
    "(SELECT coalesce(min(xact_start), now()) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND state <> 'idle' AND pid <> pg_backend_pid())"
)
"""When the oldest of the other open transactions began, as SQL."""

_SETTLED: Final = SQL(f"t1.at < {OPEN_SINCE}")
"""Whether no transaction is open any more that may still add an event before this one."""

Send = Callable[[Sequence[events.DomainEvent]], None]
"""Publishes events; returns when all are confirmed, or raises."""


def tell(machine: Machine, kind: str, data: Mapping[str, Any], *, request_id: str = "") -> None:
    """Add an event, in the caller's transaction, which holds the machine's lock."""
    machine.event_seq += 1
    counted = "UPDATE machines SET event_seq = %s WHERE id = %s"
    database.later(counted, (machine.event_seq, str(machine.id)))
    DomainEvent.record(
        machine_id=machine.id,
        site_id=machine.site_id,
        shard=events.shard(machine.id),
        seq=machine.event_seq,
        kind=kind,
        request_id=request_id,
        data=dict(data),
    )


def tell_of_discovery(
    discovery: Discovery, kind: str, data: Mapping[str, Any], *, request_id: str = ""
) -> None:
    """Add an event, in the caller's transaction, which holds the discovery's lock."""
    discovery.event_seq += 1
    Discovery.update(event_seq=discovery.event_seq).where(Discovery.id == discovery.id).execute()
    DomainEvent.record(
        discovery_id=discovery.id,
        site_id=discovery.site_id,
        shard=events.shard(discovery.id),
        seq=discovery.event_seq,
        kind=kind,
        request_id=request_id,
        data=dict(data),
    )


def publish(send: Send) -> int:
    """Publish what no relay has published yet; return how many events went.

    Each shard is published under a lock of its own: its order is that of its rows, and the next
    batch goes only after all confirms of the one before.  If *send* raises, its batch stays.
    """
    return sum(_publish_shard(number, send) for number in _waiting())


def _waiting() -> list[int]:
    query = DomainEvent.select(DomainEvent.shard).where(DomainEvent.published_at.is_null())
    return sorted({row.shard for row in query.distinct()}) if query.exists() else []


def _publish_shard(number: int, send: Send) -> int:
    sent = 0
    while True:
        with database.atomic():
            batch = _taken(number)
            if batch:
                send(batch)
                _done([each.id for each in batch])
        sent += len(batch)
        if len(batch) < BATCH:
            return sent


def _taken(number: int) -> list[events.DomainEvent]:
    """Return the shard's oldest events, [] when another relay has it."""
    if not 0 <= number < SHARDS:
        return []
    lock = database.execute_sql("SELECT pg_try_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, number))
    if not lock.fetchone()[0]:
        return []
    query = _joined().where((DomainEvent.shard == number) & DomainEvent.published_at.is_null())
    return [_event(row) for row in query.order_by(DomainEvent.id).limit(BATCH).objects()]


def _done(ids: Sequence[int]) -> None:
    database.execute_sql(
        "UPDATE events SET published_at = clock_timestamp() WHERE id = ANY(%s)", (list(ids),)
    )


def _joined() -> Any:
    return (
        DomainEvent.select(DomainEvent, Machine.hostname.alias("hostname"), Site.slug.alias("site"))
        .join(Machine, JOIN.LEFT_OUTER, on=(Machine.id == DomainEvent.machine_id))
        .switch(DomainEvent)
        .join(Site, on=(Site.id == DomainEvent.site_id))
    )


def _event(row: Any) -> events.DomainEvent:
    discovery = row.discovery_id is not None
    return events.DomainEvent(
        id=row.id,
        about=About.DISCOVERY if discovery else About.MACHINE,
        subject_id=row.discovery_id if discovery else row.machine_id,
        subject=row.data["mac"] if discovery else row.hostname,
        site=row.site,
        site_id=row.site_id,
        seq=row.seq,
        kind=row.kind,
        at=row.at,
        request_id=row.request_id,
        data=row.data,
    )


def since(
    after: int,
    *,
    limit: int,
    among: Sites = None,
    machine: Any = None,
    site: Any = None,
    kind: str | None = None,
) -> list[events.DomainEvent]:
    """Return events with a number above *after*, oldest first; of one machine, site or kind.

    Numbers are given before their transactions commit: while an older transaction is open that
    may still add a lower one, what came after it is left out, so that who goes on from the last
    number that was shown misses none.
    """
    query = _joined().where((DomainEvent.id > after) & _SETTLED)
    if among is not None:
        query = query.where(DomainEvent.site_id.in_(among))
    for column, wanted in (
        (DomainEvent.machine_id, machine),
        (DomainEvent.site_id, site),
        (DomainEvent.kind, kind),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return [_event(row) for row in query.order_by(DomainEvent.id).limit(limit).objects()]


def newest() -> int:
    """Return the number of the newest event that `since` would show, 0 without any."""
    row = DomainEvent.select(fn.max(DomainEvent.id)).where(_SETTLED).scalar()
    return int(row or 0)


def oldest() -> int:
    """Return the number of the oldest event that is kept, 0 without any."""
    return int(DomainEvent.select(fn.min(DomainEvent.id)).scalar() or 0)


def behind(number: int) -> bool:
    """Whether there are events above *number*, such as `since` shows only later."""
    return bool(DomainEvent.select().where(DomainEvent.id > number).exists())


def prune() -> int:
    """Forget events that were published long ago; return how many."""
    long_ago = datetime.now(UTC) - KEPT
    return int(DomainEvent.delete().where(DomainEvent.published_at < long_ago).execute())
