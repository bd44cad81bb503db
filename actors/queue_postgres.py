"""The embedded queue as tables and statements; schema `queue`, nothing outside of it.

A message is taken by writing its owner's number and a lease into its row.  The number is also an
advisory lock that the owner's connection holds: when the process dies the lock goes at once, and
the lease is for owners that hang, or whose machine is cut off.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from actors.broker_contract import MOST_DELIVERIES, Unworkable
from models.postgres import Session

LEASE_S: Final = 30
"""After this without a sign of life the owner of a message is taken for dead."""

LOCK_CLASS: Final = 0x5EED
"""First key of the owners' advisory locks, so that no other use of them collides."""

HEAD: Final = 2000
"""How far from a queue's head messages are taken: more than all workers hold together."""

SCHEMA: Final = f"""
SELECT pg_advisory_xact_lock({LOCK_CLASS}, 0);
CREATE SCHEMA IF NOT EXISTS queue;
CREATE SEQUENCE IF NOT EXISTS queue.owners AS integer CYCLE;
CREATE TABLE IF NOT EXISTS queue.queues (
  name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{{0,59}}$')
);
CREATE TABLE IF NOT EXISTS queue.messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL,
  body bytea NOT NULL CHECK (octet_length(body) <= 262144),
  enqueued_at timestamptz NOT NULL DEFAULT now(),
  deliveries integer NOT NULL DEFAULT 0,
  owner integer,
  leased_until timestamptz,
  CHECK ((owner IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS messages_by_queue ON queue.messages (queue, id);
CREATE TABLE IF NOT EXISTS queue.dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL,
  body bytea NOT NULL,
  reason text NOT NULL,
  detail text NOT NULL,
  deliveries integer NOT NULL,
  enqueued_at timestamptz NOT NULL,
  died_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE queue.messages ENABLE ROW LEVEL SECURITY;
"""

# The owner of the tables passes row level security; other roles see what their policies name.
ROLE: Final = """
CREATE ROLE "{role}" LOGIN PASSWORD %(password)s;
GRANT USAGE ON SCHEMA queue TO "{role}";
GRANT USAGE ON SEQUENCE queue.owners TO "{role}";
GRANT SELECT ON queue.queues TO "{role}";
GRANT SELECT, INSERT, UPDATE, DELETE ON queue.messages TO "{role}";
GRANT INSERT ON queue.dead_letters TO "{role}";
CREATE POLICY "{role} reads" ON queue.messages TO "{role}"
  USING (queue = ANY (%(reads)s)) WITH CHECK (queue = ANY (%(reads)s));
CREATE POLICY "{role} writes" ON queue.messages FOR INSERT TO "{role}"
  WITH CHECK (queue = ANY (%(writes)s));
"""

SITE_ROLE: Final = """
GRANT USAGE ON SCHEMA queue TO "{role}";
GRANT USAGE ON SEQUENCE queue.owners TO "{role}";
GRANT SELECT ON queue.queues TO "{role}";
GRANT SELECT, INSERT, UPDATE, DELETE ON queue.messages TO "{role}";
GRANT INSERT ON queue.dead_letters TO "{role}";
DROP POLICY IF EXISTS "{role} reads" ON queue.messages;
DROP POLICY IF EXISTS "{role} writes" ON queue.messages;
CREATE POLICY "{role} reads" ON queue.messages TO "{role}"
  USING (queue LIKE %(reads)s) WITH CHECK (queue LIKE %(reads)s);
CREATE POLICY "{role} writes" ON queue.messages FOR INSERT TO "{role}"
  WITH CHECK (queue = ANY (%(writes)s));
"""

# No RETURNING: a role that may write to a queue need not be able to read it.
PUBLISH: Final = """
WITH given AS (
  SELECT * FROM unnest(%(queues)s::text[], %(bodies)s::bytea[]) WITH ORDINALITY AS g(queue, body, n)
), known AS (
  SELECT given.* FROM given JOIN queue.queues ON queues.name = given.queue
), stored AS (
  INSERT INTO queue.messages (queue, body) SELECT queue, body FROM known ORDER BY n
)
SELECT queue, bool_or(name IS NOT NULL) AND pg_notify('queue:' || queue, '') IS NOT NULL
FROM (SELECT DISTINCT queue FROM given) AS used LEFT JOIN queue.queues ON name = queue
GROUP BY queue
"""

TAKE: Final = """
WITH next AS (
  SELECT id FROM queue.messages WHERE queue = %(queue)s AND owner IS NULL
  ORDER BY id LIMIT %(count)s FOR UPDATE SKIP LOCKED
)
UPDATE queue.messages AS m
SET owner = %(owner)s, leased_until = clock_timestamp() + %(lease)s * interval '1 second',
    deliveries = deliveries + 1
FROM next WHERE m.id = next.id
RETURNING m.id, m.body
"""

RENEW: Final = """
UPDATE queue.messages SET leased_until = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = ANY (%(ids)s) AND owner = %(owner)s
"""

ACKNOWLEDGE: Final = "DELETE FROM queue.messages WHERE id = ANY (%(ids)s) AND owner = %(owner)s"

BURY: Final = """
WITH dead AS (
  DELETE FROM queue.messages WHERE id = %(id)s AND owner = %(owner)s
  RETURNING queue, body, deliveries, enqueued_at
)
INSERT INTO queue.dead_letters (queue, body, reason, detail, deliveries, enqueued_at)
SELECT queue, body, %(reason)s, %(detail)s, deliveries, enqueued_at FROM dead
"""

GIVE_BACK: Final = """
UPDATE queue.messages SET owner = NULL, leased_until = NULL, deliveries = deliveries - 1
WHERE id = ANY (%(ids)s) AND owner = %(owner)s
"""

RECLAIM: Final = """
WITH head AS (
  SELECT id FROM queue.messages WHERE queue = %(queue)s ORDER BY id LIMIT %(head)s
), lost AS (
  SELECT id, deliveries FROM queue.messages JOIN head USING (id)
  WHERE owner IS NOT NULL AND (leased_until < clock_timestamp() OR owner::oid NOT IN (
    SELECT objid FROM pg_locks JOIN pg_database AS d ON d.oid = pg_locks.database
    WHERE locktype = 'advisory' AND classid = %(lock)s AND objsubid = 2 AND granted
      AND datname = current_database()))
  FOR UPDATE OF messages SKIP LOCKED
), poison AS (
  DELETE FROM queue.messages AS m USING lost
  WHERE m.id = lost.id AND lost.deliveries >= %(most)s
  RETURNING m.queue, m.body, m.deliveries, m.enqueued_at
), buried AS (
  INSERT INTO queue.dead_letters (queue, body, reason, detail, deliveries, enqueued_at)
  SELECT queue, body, 'delivery-limit', '', deliveries, enqueued_at FROM poison
)
UPDATE queue.messages AS m SET owner = NULL, leased_until = NULL
FROM lost WHERE m.id = lost.id AND lost.deliveries < %(most)s
RETURNING m.id
"""

DEPTHS: Final = """
SELECT queue, count(*) FROM queue.messages WHERE owner IS NULL AND queue = ANY (%(queues)s)
GROUP BY queue
UNION ALL SELECT %(dead)s, count(*) FROM queue.dead_letters
"""

PEEK: Final = """
SELECT queue, reason, detail, died_at, body FROM queue.dead_letters ORDER BY id LIMIT %(limit)s
"""

OLDEST: Final = """
SELECT id, queue, reason, detail, died_at, body FROM queue.dead_letters ORDER BY id LIMIT %(limit)s
"""

SCAN: Final = "SELECT id, body FROM queue.dead_letters ORDER BY id"

REPLAY: Final = """
WITH risen AS (
  DELETE FROM queue.dead_letters WHERE id = ANY (%(ids)s) RETURNING id, queue, body
), stored AS (
  INSERT INTO queue.messages (queue, body) SELECT queue, body FROM risen ORDER BY id
)
SELECT queue, pg_notify('queue:' || queue, '') FROM (SELECT DISTINCT queue FROM risen) AS used
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """One message in the hands of one owner."""

    id: int
    body: bytes = field(repr=False)


class Owner:
    """A consumer as the tables know it: a number, its lock, and what it may do by them."""

    def __init__(self, session: Session, queue: str) -> None:
        self._session = session
        self._queue = queue
        # An acknowledgement that a crash of the server undoes is a redelivery: no need to wait.
        session.run("SET synchronous_commit = off")
        session.run(f'LISTEN "queue:{queue}"')
        self._number = int(session.run("SELECT nextval('queue.owners')")[0][0])
        session.run("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, self._number))

    def take(self, count: int) -> list[Taken]:
        """Take up to *count* waiting messages, about oldest first."""
        values = {"queue": self._queue, "count": count, "owner": self._number, "lease": LEASE_S}
        return [Taken(id_, bytes(body)) for id_, body in sorted(self._session.run(TAKE, values))]

    def renew(self, ids: Collection[int]) -> None:
        values = {"ids": list(ids), "owner": self._number, "lease": LEASE_S}
        self._session.run(RENEW, values)

    def acknowledge(self, ids: Collection[int]) -> None:
        self._session.run(ACKNOWLEDGE, {"ids": list(ids), "owner": self._number})

    def bury(self, id_: int, why: Unworkable) -> None:
        values = {"id": id_, "owner": self._number, "reason": why.reason, "detail": why.detail}
        self._session.run(BURY, values)

    def give_back(self, ids: Collection[int]) -> None:
        """Return messages that nobody began to work on: that was no delivery."""
        self._session.run(GIVE_BACK, {"ids": list(ids), "owner": self._number})

    def reclaim(self) -> int:
        """Free what dead owners hold, bury what has killed too many; return how many are free."""
        values = {
            "queue": self._queue,
            "head": HEAD,
            "lock": LOCK_CLASS,
            "most": MOST_DELIVERIES,
        }
        return len(self._session.run(RECLAIM, values))


def create_schema(session: Session) -> None:
    """Make the tables, where they are not yet.  For the owner of the database."""
    session.run(SCHEMA)


def create_role(
    session: Session,
    role: str,
    password: str,
    *,
    reads: Sequence[str],
    writes: Sequence[str],
) -> None:
    """Make a login that sees the queue's tables only, and there the queues it *reads*.

    It may add messages to what it *writes*, and dead letters, which it cannot read.
    """
    if not role.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{role!r} cannot be a role's name")
    values = {"password": password, "reads": list(reads), "writes": [*reads, *writes]}
    session.run(ROLE.format(role=role), values)


def ensure_site_role(
    session: Session, role: str, password: str, *, reads: str, writes: Sequence[str]
) -> None:
    """Make a login for a site, or make it what it should be.

    It sees the queue's tables only: there the queues whose names begin with *reads*, and it may
    add messages to *writes*, and dead letters, which it cannot read.
    """
    if not role.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{role!r} cannot be a role's name")
    values = {"role": role, "password": password, "reads": f"{reads}%", "writes": list(writes)}
    known = session.run("SELECT 1 FROM pg_roles WHERE rolname = %(role)s", values)
    verb = "ALTER" if known else "CREATE"
    session.run(f'{verb} ROLE "{role}" LOGIN PASSWORD %(password)s', values)
    session.run(SITE_ROLE.format(role=role), values)


def declare(session: Session, queues: Collection[str]) -> None:
    """Make *queues*, and the tables where they are not yet."""
    if session.run("SELECT to_regclass('queue.dead_letters')") == [(None,)]:
        create_schema(session)
    known = {name for (name,) in session.run("SELECT name FROM queue.queues")}
    missing = [(name,) for name in set(queues) - known]
    for row in missing:
        session.run("INSERT INTO queue.queues VALUES (%s) ON CONFLICT DO NOTHING", row)


def publish(session: Session, batch: Sequence[tuple[str, bytes]]) -> set[str]:
    """Store *batch* in one statement; return the queues in it that nobody declared."""
    queues, bodies = zip(*batch, strict=True)
    rows = session.run(PUBLISH, {"queues": list(queues), "bodies": list(bodies)})
    return {queue for queue, stored in rows if not stored}


def dead_letters(session: Session, limit: int) -> list[tuple[str, str, str, datetime, bytes]]:
    """Return (queue, reason, detail, died at, body) of up to *limit* dead letters."""
    rows = session.run(PEEK, {"limit": limit})
    return [(*row[:4], bytes(row[4])) for row in rows]


def oldest_dead(session: Session, limit: int) -> list[tuple[int, str, str, str, datetime, bytes]]:
    """Return (number, queue, reason, detail, died at, body) of the oldest dead letters."""
    rows = session.run(OLDEST, {"limit": limit})
    return [(*row[:5], bytes(row[5])) for row in rows]


def forget_dead(session: Session, numbers: Collection[int]) -> None:
    """Drop dead letters that are kept elsewhere."""
    session.run("DELETE FROM queue.dead_letters WHERE id = ANY (%(ids)s)", {"ids": list(numbers)})


def replay(session: Session, ids: Collection[int]) -> None:
    """Put the dead letters in these rows back on their queues."""
    session.run(REPLAY, {"ids": list(ids)})
