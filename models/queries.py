"""What is known, as frozen values: the number of statements does not grow with the fleet."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from peewee import JOIN, SQL, fn

from models import tables as t
from models.commands.contact import LIVE_S
from models.commands.moves import now
from models.errors import NotFound
from models.lifecycle import State
from models.observations import Seen
from models.phases import Phase
from models.views import (
    AgentView,
    AllocationView,
    ArtifactView,
    AuditView,
    EvidenceView,
    ImageView,
    InterfaceView,
    MachineView,
    NetworkView,
    ObservationView,
    ProfileView,
    SealView,
    SiteView,
    WorkflowView,
)
from models.whereabouts import Sites
from models.workflows import Kind, Progress

LIMIT: Final = 100
"""Rows of one page, unless told."""

_View = TypeVar("_View")
_TUPLES: Final = frozenset(
    {"capabilities", "dns", "ids", "kernel_args", "ntp", "routes", "search", "speaks", "ssh_keys"}
)


def _as(view: type[_View], row: Any, **more: Any) -> _View:
    """Return *view* filled from the columns of *row* that have its names, and from *more*."""
    fields = view.__dataclass_fields__  # type: ignore[attr-defined] # every view is a dataclass
    values = {name: getattr(row, name) for name in fields if name not in more}
    values |= {name: tuple(value) for name, value in values.items() if name in _TUPLES}
    return view(**values, **more)


def _uuid(ref: str | UUID) -> UUID | None:
    try:
        return UUID(str(ref))
    except ValueError:
        return None


def _among(query: Any, column: Any, sites: Sites) -> Any:
    """Return *query* of what is at one of *sites*; None: at any, or at none."""
    return query if sites is None else query.where(column.in_(sites))


def _one(kind: str, ref: object, row: Any) -> Any:
    if row is None:
        raise NotFound(f"no {kind} {ref}", hint=f"List them with: sprout {kind}s list")
    return row


def sites(*, among: Sites = None) -> list[SiteView]:
    query = _among(t.Site.select().order_by(t.Site.slug), t.Site.id, among)
    return [_as(SiteView, row) for row in query]


def site(ref: str | UUID) -> SiteView:
    """Return the site with this id or slug.  Raises NotFound."""
    uuid = _uuid(ref)
    where = t.Site.slug == str(ref) if uuid is None else t.Site.id == uuid
    return _as(SiteView, _one("site", ref, t.Site.get_or_none(where)))


def agents(site_id: UUID | None = None, *, among: Sites = None) -> list[AgentView]:
    current = (t.Agent.networks_version == t.Site.networks_version).alias("networks_current")
    query = t.Agent.select(t.Agent, current).join(t.Site, on=(t.Site.id == t.Agent.site_id))
    query = _among(query, t.Agent.site_id, among)
    if site_id is not None:
        query = query.where(t.Agent.site_id == site_id)
    since = now() - timedelta(seconds=LIVE_S)
    rows = query.order_by(t.Agent.last_seen_at.desc()).objects()
    return [_as(AgentView, row, live=row.last_seen_at > since) for row in rows]


def networks(site_id: UUID | None = None, *, among: Sites = None) -> list[NetworkView]:
    query = t.Network.select().order_by(t.Network.name, t.Network.id)
    query = _among(query, t.Network.site_id, among)
    if site_id is not None:
        query = query.where(t.Network.site_id == site_id)
    return [_as(NetworkView, row) for row in query]


def network(network_id: UUID) -> NetworkView:
    """Return one network.  Raises NotFound."""
    row = t.Network.get_or_none(t.Network.id == network_id)
    return _as(NetworkView, _one("network", network_id, row))


def artifacts() -> list[ArtifactView]:
    return [_as(ArtifactView, row) for row in t.Artifact.select().order_by(t.Artifact.ref)]


def artifact(ref: str | UUID) -> ArtifactView:
    """Return the artifact with this reference or id.  Raises NotFound."""
    where = (t.Artifact.id == _uuid(ref)) | (t.Artifact.ref == str(ref))
    return _as(ArtifactView, _one("artifact", ref, t.Artifact.get_or_none(where)))


def _images(where: Any = None) -> list[ImageView]:
    query = (
        t.Image.select(
            t.Image, t.Artifact.ref.alias("artifact_ref"), t.Artifact.prefix.alias("prefix")
        )
        .join(t.Artifact, on=t.Artifact.id == t.Image.artifact_id)
        .order_by(t.Image.ref)
        .objects()
    )
    return [_as(ImageView, row) for row in (query if where is None else query.where(where))]


def images() -> list[ImageView]:
    return _images()


def image(ref: str | UUID) -> ImageView:
    """Return the image with this reference or id.  Raises NotFound."""
    rows = _images((t.Image.id == _uuid(ref)) | (t.Image.ref == str(ref)))
    found: ImageView = _one("image", ref, next(iter(rows), None))
    return found


def profiles() -> list[ProfileView]:
    return [_as(ProfileView, row) for row in t.Profile.select().order_by(t.Profile.ref)]


def profile(ref: str | UUID) -> ProfileView:
    """Return the profile with this reference or id.  Raises NotFound."""
    where = (t.Profile.id == _uuid(ref)) | (t.Profile.ref == str(ref))
    return _as(ProfileView, _one("profile", ref, t.Profile.get_or_none(where)))


def _machine_rows() -> Any:
    return (
        t.Machine.select(
            t.Machine,
            t.Site.slug.alias("site_slug"),
            t.Image.ref.alias("image_ref"),
            t.Profile.ref.alias("profile_ref"),
        )
        .join(t.Site, on=t.Site.id == t.Machine.site_id)
        .join(t.Image, JOIN.LEFT_OUTER, on=t.Image.id == t.Machine.image_id)
        .join(t.Profile, JOIN.LEFT_OUTER, on=t.Profile.id == t.Machine.profile_id)
    )


def machines(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    state: State | None = None,
    search: str = "",
    after: tuple[str, UUID] | None = None,
    limit: int = LIMIT,
) -> list[MachineView]:
    """Return a page of machines by host name; *after* is the last row's (hostname, id).

    *search* finds a part of the host name or of a MAC.
    """
    query = _machine_rows().order_by(t.Machine.hostname, t.Machine.id).limit(limit)
    query = _among(query, t.Machine.site_id, among)
    if site_id is not None:
        query = query.where(t.Machine.site_id == site_id)
    if state is not None:
        query = query.where(t.Machine.state == state.value)
    if search:
        query = query.where(_matches(search))
    if after is not None:
        query = query.where(SQL("(t1.hostname, t1.id) > (%s, %s)", after))
    return _machine_views(list(query.objects()))


def _matches(search: str) -> Any:
    having = t.Interface.select(t.Interface.machine_id).where(
        t.Interface.mac.cast("text").contains(search.lower())
    )
    return t.Machine.hostname.contains(search.lower()) | t.Machine.id.in_(having)


def machine(ref: str | UUID) -> MachineView:
    """Return the machine with this id or host name.  Raises NotFound, also for several."""
    uuid = _uuid(ref)
    where = t.Machine.hostname == str(ref).lower() if uuid is None else t.Machine.id == uuid
    live_first = t.Machine.state == State.RETIRED.value
    rows = list(_machine_rows().where(where).order_by(live_first).limit(3).objects())
    named = [row for row in rows if row.state != State.RETIRED.value] or rows
    if len(named) > 1:
        raise NotFound(
            f"{len(named)} machines are called {ref}",
            hint="Use the machine's id: sprout machines list",
        )
    return _machine_views([_one("machine", ref, next(iter(named), None))])[0]


def _machine_views(rows: list[Any]) -> list[MachineView]:
    ids = [row.id for row in rows]
    interfaces = _grouped(_interfaces(ids), lambda pair: pair[0])
    newest = {flow.machine_id: flow for flow in _newest_workflows(ids)}
    return [
        _as(
            MachineView,
            row,
            state=State(row.state),
            phase=Phase(row.phase),
            interfaces=tuple(view for _, view in interfaces.get(row.id, ())),
            differences=tuple(row.differences),
            ssh_host_keys=tuple(row.ssh_host_keys),
            workflow=newest.get(row.id),
        )
        for row in rows
    ]


def _interfaces(machine_ids: list[UUID]) -> list[tuple[UUID, InterfaceView]]:
    joined = (t.Allocation.interface_id == t.Interface.id) & (t.Allocation.state != "released")
    query = (
        t.Interface.select(t.Interface, t.Allocation.address.alias("address"))
        .join(t.Allocation, JOIN.LEFT_OUTER, on=joined)
        .where(t.Interface.machine_id.in_(machine_ids))
        .order_by(t.Interface.name)
        .objects()
    )
    return [(row.machine_id, _as(InterfaceView, row)) for row in query] if machine_ids else []


def _newest_workflows(machine_ids: list[UUID]) -> list[WorkflowView]:
    if not machine_ids:
        return []
    query = (
        t.Workflow.select()
        .where(t.Workflow.machine_id.in_(machine_ids) & t.Workflow.parent_id.is_null())
        .distinct(t.Workflow.machine_id)
        .order_by(t.Workflow.machine_id, t.Workflow.created_at.desc())
    )
    return [_workflow(row) for row in query]


def _grouped(items: Iterable[_View], key: Callable[[_View], UUID]) -> Mapping[UUID, list[_View]]:
    groups: dict[UUID, list[_View]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _workflow(row: t.Workflow) -> WorkflowView:
    return _as(WorkflowView, row, kind=Kind(row.kind), progress=Progress(row.state), index=row.step)


def workflows(
    machine_id: UUID | None = None, limit: int = LIMIT, *, among: Sites = None
) -> list[WorkflowView]:
    """Return workflows, the newest first."""
    query = t.Workflow.select().order_by(t.Workflow.created_at.desc()).limit(limit)
    query = _among(query, t.Workflow.site_id, among)
    if machine_id is not None:
        query = query.where(t.Workflow.machine_id == machine_id)
    return [_workflow(row) for row in query]


def workflow(workflow_id: UUID) -> WorkflowView:
    """Return one workflow.  Raises NotFound."""
    row = t.Workflow.get_or_none(t.Workflow.id == workflow_id)
    return _workflow(_one("workflow", workflow_id, row))


def timeline(
    machine_id: UUID, *, after: int = 0, limit: int = 500, run_id: UUID | None = None
) -> list[ObservationView]:
    """Return the newest *limit* rows after id *after*, in the order in which they were kept."""
    query = t.Observation.select().where(
        (t.Observation.machine_id == machine_id) & (t.Observation.id > after)
    )
    if run_id is not None:
        query = query.where(t.Observation.run_id == run_id)
    rows = list(query.order_by(t.Observation.id.desc()).limit(limit))
    return [_as(ObservationView, row) for row in reversed(rows)]


def workflow_events(workflow_id: UUID, *, limit: int = 500) -> list[ObservationView]:
    """Return what was seen of one workflow, in order."""
    query = t.Observation.select().where(t.Observation.workflow_id == workflow_id)
    return [_as(ObservationView, row) for row in query.order_by(t.Observation.id).limit(limit)]


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
      AND o.data->>'sha256' ~ '^[0-9a-f]{64}$' AND o.data->>'size' ~ '^[0-9]{1,15}$'
      AND o.data->>'name' IS NOT NULL
    ORDER BY t.id, o.data->>'sha256', o.id
) AS found ORDER BY id DESC LIMIT %s
"""


def evidence(machine_id: UUID, limit: int = LIMIT) -> list[EvidenceView]:
    """Return what the machine's tasks brought up, the newest first.

    Only what the agent says of its own tasks counts; the same said twice counts once.
    """
    rows = t.Observation.raw(_EVIDENCE, machine_id, Seen.EVIDENCE_KEPT.value, limit).objects()
    return [_as(EvidenceView, row) for row in rows]


def allocations(
    machine_id: UUID | None = None, limit: int = LIMIT, *, among: Sites = None
) -> list[AllocationView]:
    query = t.Allocation.select().order_by(t.Allocation.created_at.desc()).limit(limit)
    if among is not None:
        theirs = t.Network.select(t.Network.id).where(t.Network.site_id.in_(among))
        query = query.where(t.Allocation.network_id.in_(theirs))
    if machine_id is not None:
        query = query.where(t.Allocation.machine_id == machine_id)
    return [_as(AllocationView, row) for row in query]


def audit(
    machine_id: UUID | None = None,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = LIMIT,
    among: Sites = None,
) -> list[AuditView]:
    """Return audit rows, the newest first; *before* is the last page's smallest id.

    With *after*, rows above that id, the oldest first.
    """
    order = t.Audit.id.desc() if after is None else t.Audit.id
    query = t.Audit.select().order_by(order).limit(limit)
    if after is not None:
        query = query.where(t.Audit.id > after)
    query = _among(query, t.Audit.site_id, among)
    if machine_id is not None:
        query = query.where(t.Audit.machine_id == machine_id)
    if before is not None:
        query = query.where(t.Audit.id < before)
    return [_as(AuditView, row) for row in query]


def audit_seals(*, after: int = 0, limit: int = LIMIT) -> list[SealView]:
    """Return seals of the audit above the id *after*, in the order of the chain."""
    query = t.AuditSeal.select().where(t.AuditSeal.id > after)
    return [_as(SealView, row) for row in query.order_by(t.AuditSeal.id).limit(limit)]


def counts(site_id: UUID | None = None, *, among: Sites = None) -> dict[State, int]:
    """Return how many machines are in each state; states without any are 0."""
    query = t.Machine.select(t.Machine.state, fn.COUNT(t.Machine.id)).group_by(t.Machine.state)
    query = _among(query, t.Machine.site_id, among)
    if site_id is not None:
        query = query.where(t.Machine.site_id == site_id)
    rows: Any = query.tuples()
    found: dict[str, int] = dict(rows)
    return {state: int(found.get(state.value, 0)) for state in State}
