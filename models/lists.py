"""Every list that the API shows, a part at a time; `queries` shows one of each.

What is given as None narrows nothing.  *among* is the sites that the one who asks sees.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar
from uuid import UUID

from peewee import SQL, fn

from models import documents, homes, queries
from models import tables as t
from models.commands.contact import LIVE_S
from models.commands.moves import now
from models.commands.rivals import doubled
from models.homes import HostView
from models.lifecycle import State
from models.observations import Seen
from models.paging import FIRST, Ask, Order, Part
from models.views import (
    AgentView,
    AllocationView,
    ArtifactView,
    AuditView,
    EvidenceView,
    ImageView,
    MachineView,
    NetworkView,
    ObservationView,
    ProfileView,
    SealView,
    SiteView,
    WorkflowView,
)
from models.whereabouts import Sites

_View = TypeVar("_View")


def _stamped(of: str, table: Any, name: str) -> Order:
    """Return the order of records that operators edit: by *name*, or by when they were made."""
    columns = {
        name: getattr(table, name),
        "createdAt": table.created_at,
        "updatedAt": table.updated_at,
    }
    return Order(of, MappingProxyType(columns), table.id, next(iter(columns)))


def _dated(of: str, table: Any) -> Order:
    return Order(of, MappingProxyType({"createdAt": table.created_at}), table.id, "-createdAt")


def _numbered(of: str, table: Any, usual: str) -> Order:
    return Order(of, MappingProxyType({"id": table.id}), table.id, usual)


SITES: Final = _stamped("sites", t.Site, "slug")
NETWORKS: Final = _stamped("networks", t.Network, "name")
ARTIFACTS: Final = _stamped("artifacts", t.Artifact, "ref")
IMAGES: Final = _stamped("images", t.Image, "ref")
PROFILES: Final = _stamped("profiles", t.Profile, "ref")
MACHINES: Final = _stamped("machines", t.Machine, "hostname")
WORKFLOWS: Final = _dated("workflows", t.Workflow)
ALLOCATIONS: Final = _dated("ip-allocations", t.Allocation)
OBSERVATIONS: Final = _numbered("observations", t.Observation, "id")
EVIDENCE: Final = _numbered("evidence", t.Observation, "-id")
AUDIT: Final = _numbered("audit", t.Audit, "-id")
SEALS: Final = _numbered("audit-seals", t.AuditSeal, "id")
AGENTS: Final = Order(
    "agents",
    MappingProxyType(
        {
            "lastSeenAt": t.Agent.last_seen_at,
            "hostname": t.Agent.hostname,
            "registeredAt": t.Agent.registered_at,
        }
    ),
    t.Agent.id,
    "-lastSeenAt",
)


def _each(view: type[_View]) -> Callable[[list[Any]], Sequence[_View]]:
    return lambda rows: [queries.filled(view, row) for row in rows]


def _narrowed(query: Any, wanted: Mapping[Any, Any]) -> Any:
    """Return *query* of rows whose columns are as *wanted*, which maps column to value."""
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    return query


def _among(query: Any, column: Any, sites: Sites) -> Any:
    return query if sites is None else query.where(column.in_(sites))


def _named(query: Any, search: str, *columns: Any) -> Any:
    """Return *query* of rows that have *search* in one of *columns*, in any case."""
    if not search:
        return query
    found = columns[0].contains(search)
    for column in columns[1:]:
        found |= column.contains(search)
    return query.where(found)


def sites(*, among: Sites = None, search: str = "", ask: Ask = FIRST) -> Part[SiteView]:
    query = _among(t.Site.select(), t.Site.id, among)
    return SITES.part(_named(query, search, t.Site.slug, t.Site.name), ask, _each(SiteView))


def agents(site_id: UUID, *, live: bool | None = None, ask: Ask = FIRST) -> Part[AgentView]:
    """Return the agents of a site."""
    current = (t.Agent.networks_version == t.Site.networks_version).alias("networks_current")
    since = now() - timedelta(seconds=LIVE_S)
    query = t.Agent.select(t.Agent, current).join(t.Site, on=(t.Site.id == t.Agent.site_id))
    query = query.where(t.Agent.site_id == site_id)
    if live is not None:
        seen = t.Agent.last_seen_at
        query = query.where(seen > since if live else seen <= since)

    def shown(rows: list[Any]) -> list[AgentView]:
        return [
            queries.filled(AgentView, row, live=row.last_seen_at > since, doubled=doubled(row))
            for row in rows
        ]

    return AGENTS.part(query.objects(), ask, shown)


def networks(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    purpose: str | None = None,
    ask: Ask = FIRST,
) -> Part[NetworkView]:
    query = _among(t.Network.select(), t.Network.site_id, among)
    query = _narrowed(query, {t.Network.site_id: site_id, t.Network.purpose: purpose})
    return NETWORKS.part(query, ask, _each(NetworkView))


def artifacts(*, search: str = "", ask: Ask = FIRST) -> Part[ArtifactView]:
    query = _named(t.Artifact.select(), search, t.Artifact.ref, t.Artifact.name)
    return ARTIFACTS.part(query, ask, _each(ArtifactView))


def images(
    *,
    architecture: str | None = None,
    artifact_ref: str | None = None,
    search: str = "",
    ask: Ask = FIRST,
) -> Part[ImageView]:
    wanted = {t.Image.architecture: architecture, t.Artifact.ref: artifact_ref}
    query = _named(queries.image_rows(), search, t.Image.ref, t.Image.name)
    return IMAGES.part(_narrowed(query, wanted).objects(), ask, _each(ImageView))


def profiles(*, search: str = "", ask: Ask = FIRST) -> Part[ProfileView]:
    query = _named(t.Profile.select(), search, t.Profile.ref, t.Profile.name)
    return PROFILES.part(query, ask, _each(ProfileView))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which machines are listed.

    *search* finds a part of host name, MAC, serial number or address.  *hosts*: only machines with
    a server type, and none that is retired.
    """

    among: Sites = None
    site_id: UUID | None = None
    state: State | None = None
    architecture: str | None = None
    labels: Mapping[str, str] | None = None
    search: str = ""
    hosts: bool = False

    def of(self, query: Any) -> Any:
        """Return *query* of them."""
        wanted = {
            t.Machine.site_id: self.site_id,
            t.Machine.state: None if self.state is None else self.state.value,
            t.Machine.architecture: self.architecture,
        }
        query = _narrowed(_among(query, t.Machine.site_id, self.among), wanted)
        if self.hosts:
            kept = t.Machine.state != State.RETIRED.value
            query = query.where(t.Machine.server_type.is_null(is_null=False) & kept)
        if self.labels:
            query = query.where(SQL("t1.labels @> %s::jsonb", (json.dumps(dict(self.labels)),)))
        return query.where(_matches(self.search)) if self.search else query


ALL_MACHINES: Final = Wanted()


def machines(wanted: Wanted = ALL_MACHINES, ask: Ask = FIRST) -> Part[MachineView]:
    """Return machines."""
    query = wanted.of(queries.machine_rows())
    return MACHINES.part(query.objects(), ask, queries.machine_views)


def hosts(wanted: Wanted, ask: Ask = FIRST) -> Part[HostView]:
    """Return hosts: *wanted* says that they are."""
    found = machines(wanted, ask)
    return Part(homes.of(found), found.next)


def machine_documents(wanted: Wanted, ask: Ask) -> Part[documents.Document]:
    """Return machines as documents."""
    query = wanted.of(t.Machine.select(t.Machine.id, *MACHINES.columns.values()))
    return MACHINES.part(query.namedtuples(), ask, _documents)


def _documents(rows: list[Any]) -> list[documents.Document]:
    return documents.machines([row.id for row in rows])


def _matches(search: str) -> Any:
    word = search.lower()
    having = t.Interface.select(t.Interface.machine_id).where(
        t.Interface.mac.cast("text").contains(word)
    )
    at = t.Allocation.select(t.Allocation.machine_id).where(
        (t.Allocation.state != "released") & fn.HOST(t.Allocation.address).contains(word)
    )
    serial = SQL("t1.facts #>> '{system,serial}'").contains(word)
    return t.Machine.hostname.contains(word) | serial | t.Machine.id.in_(having | at)


def workflows(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    machine_id: UUID | None = None,
    state: str | None = None,
    kind: str | None = None,
    ask: Ask = FIRST,
) -> Part[WorkflowView]:
    query = _among(t.Workflow.select(), t.Workflow.site_id, among)
    wanted = {
        t.Workflow.site_id: site_id,
        t.Workflow.machine_id: machine_id,
        t.Workflow.state: state,
        t.Workflow.kind: kind,
    }
    return WORKFLOWS.part(
        _narrowed(query, wanted), ask, lambda rows: list(map(queries.workflow_view, rows))
    )


def observations(
    *,
    machine_id: UUID | None = None,
    workflow_id: UUID | None = None,
    kind: str | None = None,
    above: int = 0,
    ask: Ask = FIRST,
) -> Part[ObservationView]:
    """Return what was seen of a machine or in a workflow; only rows whose id is above *above*."""
    wanted = {
        t.Observation.machine_id: machine_id,
        t.Observation.workflow_id: workflow_id,
        t.Observation.kind: kind,
    }
    query = _narrowed(t.Observation.select(), wanted).where(t.Observation.id > above)
    return OBSERVATIONS.part(query, ask, _each(ObservationView))


_EVIDENCE: Final = """
SELECT * FROM (
    SELECT DISTINCT ON (t.id, o.data->>'sha256') o.id, o.machine_id, t.id AS task_id, t.workflow_id,
           o.data->>'name' AS name, o.data->>'sha256' AS sha256,
           (o.data->>'size')::bigint AS size, o.at
    FROM observations o
    JOIN tasks t ON t.machine_id = o.machine_id AND t.agent_id = o.agent_id
                AND t.id = CASE WHEN o.data->>'task' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                THEN (o.data->>'task')::uuid END
    WHERE o.machine_id = %s AND o.kind = %s
      AND t.workflow_id = coalesce(%s, t.workflow_id)
      AND o.data->>'sha256' ~ '^[0-9a-f]{64}$' AND o.data->>'size' ~ '^[0-9]{1,15}$'
      AND o.data->>'name' IS NOT NULL
    ORDER BY t.id, o.data->>'sha256', o.id
) AS found
WHERE <beyond> ORDER BY id <way> LIMIT %s
"""


def evidence(
    machine_id: UUID, *, workflow_id: UUID | None = None, ask: Ask = FIRST
) -> Part[EvidenceView]:
    """Return what the machine's tasks, or those of one workflow, brought up.

    Only what the agent says of its own tasks counts; the same said twice counts once.
    """
    back, place = EVIDENCE.back(ask), EVIDENCE.place(ask)
    beyond = f"id {'<' if back else '>'} %s" if place else "true"
    raw = _EVIDENCE.replace("<beyond>", beyond).replace("<way>", "DESC" if back else "ASC")
    values = (machine_id, Seen.EVIDENCE_KEPT.value, workflow_id, *place, ask.limit + 1)
    return EVIDENCE.cut(list(t.Observation.raw(raw, *values).objects()), ask, _each(EvidenceView))


def allocations(
    *,
    among: Sites = None,
    machine_id: UUID | None = None,
    network_id: UUID | None = None,
    state: str | None = None,
    ask: Ask = FIRST,
) -> Part[AllocationView]:
    query = t.Allocation.select()
    if among is not None:
        theirs = t.Network.select(t.Network.id).where(t.Network.site_id.in_(among))
        query = query.where(t.Allocation.network_id.in_(theirs))
    wanted = {
        t.Allocation.machine_id: machine_id,
        t.Allocation.network_id: network_id,
        t.Allocation.state: state,
    }
    return ALLOCATIONS.part(_narrowed(query, wanted), ask, _each(AllocationView))


def audit(
    *,
    among: Sites = None,
    wanted: Mapping[str, Any] | None = None,
    ask: Ask = FIRST,
) -> Part[AuditView]:
    """Return audit rows whose columns are as *wanted*, by their names."""
    query = _among(t.Audit.select(), t.Audit.site_id, among)
    columns = {getattr(t.Audit, name): value for name, value in (wanted or {}).items()}
    return AUDIT.part(_narrowed(query, columns), ask, _each(AuditView))


def audit_seals(*, ask: Ask = FIRST) -> Part[SealView]:
    """Return seals of the audit, unless told in the order of the chain."""
    return SEALS.part(t.AuditSeal.select(), ask, _each(SealView))
