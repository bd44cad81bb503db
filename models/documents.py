"""Machines as JSON documents that PostgreSQL makes: for what is asked all the time.

Rule 1: the SQL is constant, and one statement is all, however many machines are asked for.
Rule 2: a document says what MachineView says, by the same names; a test compares the two.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from models.database import database
from models.errors import NotFound
from models.lifecycle import State

Document = dict[str, Any]

_DOCUMENTS: Final = """
SELECT coalesce(json_agg(row_to_json(d) ORDER BY asked.number), '[]')::text
FROM unnest(%s::uuid[]) WITH ORDINALITY AS asked(id, number)
JOIN machines m ON m.id = asked.id
JOIN sites s ON s.id = m.site_id
LEFT JOIN images i ON i.id = m.image_id
LEFT JOIN profiles p ON p.id = m.profile_id
CROSS JOIN LATERAL (
    SELECT m.id, m.site_id, s.slug AS site_slug, m.hostname, m.architecture, m.labels,
           coalesce(m.found_memory_mib, m.memory_mib) AS memory_mib,
           coalesce(m.found_disk_bytes, m.disk_bytes) AS disk_bytes,
           m.bmc, m.root_disk, m.state, m.phase, m.failed_from, m.commissioned_at, m.power,
           m.loaders, m.server_type, m.facts, m.differences, m.ssh_host_keys, i.ref AS image_ref,
           p.ref AS profile_ref,
           m.network_id, m.run_id, m.epoch, m.plan_version, m.version, m.created_at, m.updated_at,
           (SELECT home_address FROM runs WHERE id = m.run_id AND m.image_id IS NOT NULL
                AND m.phase IN ('first_boot', 'joining', 'ready')) AS home_address,
           (SELECT coalesce(json_agg(row_to_json(e) ORDER BY e.name), '[]') FROM (
                SELECT e.id, e.name, e.mac, e.pxe_enabled, e.network_name,
                       CASE WHEN m.server_type IS NULL OR n.dhcp_mode NOT IN ('proxy', 'off')
                            THEN a.address END AS address
                FROM interfaces e
                LEFT JOIN allocations a ON a.interface_id = e.id AND a.state <> 'released'
                LEFT JOIN networks n ON n.id = a.network_id
                WHERE e.machine_id = m.id) AS e) AS interfaces,
           (SELECT row_to_json(w) FROM (
                SELECT w.id, w.kind, w.machine_id, w.site_id, w.run_id, w.state AS progress,
                       w.step AS index, w.attempt, w.detail, w.params, w.requested_by, w.reason,
                       w.request_id, w.begun_at, w.deadline_at, w.created_at, w.finished_at
                FROM workflows w
                WHERE w.machine_id = m.id AND w.parent_id IS NULL
                ORDER BY w.created_at DESC LIMIT 1) AS w) AS workflow
) AS d
"""

_NAMED: Final = """
SELECT id, state FROM machines WHERE hostname = %s ORDER BY state = 'retired' LIMIT 3
"""


def machine(ref: str | UUID) -> Document:
    """Return the machine with this id or host name.  Raises NotFound, also for several."""
    try:
        identifier = UUID(str(ref))
    except ValueError:
        identifier = _named(str(ref))
    found = machines([identifier])
    if not found:
        raise NotFound(f"no machine {ref}", hint="List them with: sprout machines list")
    return found[0]


def machines(ids: Sequence[UUID]) -> list[Document]:
    """Return the machines with these *ids*, in their order; those that are gone are left out."""
    (text,) = database.execute_sql(_DOCUMENTS, ([str(each) for each in ids],)).fetchone()
    return list(map(_addressed, from_json(text, cache_strings="keys")))


def _addressed(document: Document) -> Document:
    given = (i["address"] for i in document["interfaces"] if i["address"])
    document["address"] = document["home_address"] or next(given, None)
    return document


def _named(hostname: str) -> UUID:
    rows = database.execute_sql(_NAMED, (hostname.lower(),)).fetchall()
    named = [row for row in rows if row[1] != State.RETIRED.value] or rows
    if len(named) == 1:
        return UUID(str(named[0][0]))
    if not named:
        raise NotFound(f"no machine {hostname}", hint="List them with: sprout machines list")
    raise NotFound(
        f"{len(named)} machines are called {hostname}",
        hint="Use the machine's id: sprout machines list",
    )
