"""The timelines of all hosts, read as one: what the live stream of hosts is fed from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from models import host_events
from models.commands.events import OPEN_SINCE
from models.database import database
from models.host_events import Doing, Told
from models.kinds import Kind
from models.whereabouts import Sites

_VERBS: Final = frozenset(kind.value for kind in Kind)
"""Those that this version knows."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was *told*; to go on *after* a number; *whole*: there were as many rows as asked for."""

    told: Sequence[Told]
    after: int
    whole: bool


# As for domain events: numbers are given before their transactions commit, and none is passed over.
_SINCE: Final = f"""
SELECT m.server_type IS NOT NULL AS is_host, o.id, o.machine_id AS host_id, m.hostname,
       s.slug AS site, o.site_id, o.workflow_id AS operation_id, w.kind AS verb, w.params,
       o.source, o.kind, o.at, o.applied, o.agent_id IS NULL AS own, o.data
FROM observations o JOIN sites s ON s.id = o.site_id
     LEFT JOIN machines m ON m.id = o.machine_id LEFT JOIN workflows w ON w.id = o.workflow_id
WHERE o.id > %(after)s AND o.received_at < {OPEN_SINCE}
      AND (%(sites)s::uuid[] IS NULL OR o.site_id = ANY (%(sites)s::uuid[]))
ORDER BY o.id LIMIT %(limit)s
"""  # noqa: S608 - of constants

_NEWEST: Final = f"""
SELECT id FROM observations WHERE received_at < {OPEN_SINCE} ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - of constants


def since(after: int, *, limit: int, among: Sites = None) -> Read:
    """Return what *limit* rows say after number *after*, oldest first; of machines that are hosts.

    What came after an open transaction began is left out until that has ended.
    """
    asked = {
        "after": host_events.row_before(after),
        "limit": limit,
        "sites": None if among is None else [str(site) for site in among],
    }
    found = database.execute_sql(_SINCE, asked)
    names = [column.name for column in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    told = [one for row in rows for one in _told(row) if one.id > after]
    last = host_events.number(rows[-1]["id"]) if rows else after
    return Read(told, last, len(rows) == limit)


def _told(row: dict[str, Any]) -> Iterator[Told]:
    if row.pop("is_host"):
        verb = Kind(row["verb"]) if row["verb"] in _VERBS else None
        yield from host_events.told(Doing(**row | {"verb": verb, "params": row["params"] or {}}))


def newest() -> int:
    """Return the number of the newest word that `since` would tell, 0 without any."""
    return _number(_NEWEST)


def oldest() -> int:
    """Return a number below which nothing is kept, 0 without any."""
    row = database.execute_sql("SELECT min(id) FROM observations").fetchone()
    return 0 if row[0] is None else host_events.number(row[0], 0)


def behind(number: int) -> bool:
    """Whether there is more after *number*, such as `since` tells only later."""
    query = "SELECT EXISTS (SELECT FROM observations WHERE id > %s)"
    asked = (host_events.row_before(number),)
    return bool(database.execute_sql(query, asked).fetchone()[0])


def _number(query: str) -> int:
    row = database.execute_sql(query).fetchone()
    return 0 if row is None else host_events.number(row[0])
