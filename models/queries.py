"""What is known, as frozen values: the number of statements does not grow with the fleet."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from peewee import JOIN, Case, fn

from models import tables as t
from models.bootnet import ELSEWHERE
from models.commands.contact import LIVE_S
from models.commands.moves import now
from models.commands.rivals import doubled
from models.errors import NotFound
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.phases import AT_HOME, Phase
from models.views import (
    AgentView,
    ArtifactView,
    ImageView,
    InterfaceView,
    MachineView,
    NetworkView,
    ObservationView,
    ProfileView,
    SiteView,
    WorkflowView,
)
from models.whereabouts import Sites

_View = TypeVar("_View")
_TUPLES: Final = frozenset(
    {"capabilities", "dns", "ids", "kernel_args", "ntp", "routes", "search", "speaks", "ssh_keys"}
)


def filled(view: type[_View], row: Any, **more: Any) -> _View:
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
    return [filled(SiteView, row) for row in query]


def site(ref: str | UUID) -> SiteView:
    """Return the site with this id or slug.  Raises NotFound."""
    uuid = _uuid(ref)
    where = t.Site.slug == str(ref) if uuid is None else t.Site.id == uuid
    return filled(SiteView, _one("site", ref, t.Site.get_or_none(where)))


def site_id(named: str | None) -> UUID | None:
    """Return the id of the site that a list is narrowed to; None: to none.  Raises NotFound."""
    return None if named is None else site(named).id


def agents(site_id: UUID | None = None, *, among: Sites = None) -> list[AgentView]:
    current = (t.Agent.networks_version == t.Site.networks_version).alias("networks_current")
    query = t.Agent.select(t.Agent, current).join(t.Site, on=(t.Site.id == t.Agent.site_id))
    query = _among(query, t.Agent.site_id, among)
    if site_id is not None:
        query = query.where(t.Agent.site_id == site_id)
    since = now() - timedelta(seconds=LIVE_S)
    rows = query.order_by(t.Agent.last_seen_at.desc()).objects()
    return [
        filled(AgentView, row, live=row.last_seen_at > since, doubled=doubled(row)) for row in rows
    ]


def networks(site_id: UUID | None = None, *, among: Sites = None) -> list[NetworkView]:
    query = t.Network.select().order_by(t.Network.name, t.Network.id)
    query = _among(query, t.Network.site_id, among)
    if site_id is not None:
        query = query.where(t.Network.site_id == site_id)
    return [filled(NetworkView, row) for row in query]


def network(network_id: UUID) -> NetworkView:
    """Return one network.  Raises NotFound."""
    row = t.Network.get_or_none(t.Network.id == network_id)
    return filled(NetworkView, _one("network", network_id, row))


def artifact(ref: str | UUID) -> ArtifactView:
    """Return the artifact with this reference or id.  Raises NotFound."""
    where = (t.Artifact.id == _uuid(ref)) | (t.Artifact.ref == str(ref))
    return filled(ArtifactView, _one("artifact", ref, t.Artifact.get_or_none(where)))


def image_rows() -> Any:
    artifact = (t.Artifact.ref.alias("artifact_ref"), t.Artifact.prefix.alias("prefix"))
    joined = t.Image.select(t.Image, *artifact)
    return joined.join(t.Artifact, on=t.Artifact.id == t.Image.artifact_id)


def image(ref: str | UUID) -> ImageView:
    """Return the image with this reference or id.  Raises NotFound."""
    where = (t.Image.id == _uuid(ref)) | (t.Image.ref == str(ref))
    return filled(ImageView, _one("image", ref, image_rows().where(where).objects().first()))


def profile(ref: str | UUID) -> ProfileView:
    """Return the profile with this reference or id.  Raises NotFound."""
    where = (t.Profile.id == _uuid(ref)) | (t.Profile.ref == str(ref))
    return filled(ProfileView, _one("profile", ref, t.Profile.get_or_none(where)))


def machine_rows() -> Any:
    """Return machines; where one says that it is counts until it is let go."""
    home = (t.Run.id == t.Machine.run_id) & t.Machine.phase.in_(sorted(AT_HOME))
    home &= t.Machine.image_id.is_null(is_null=False)
    return (
        t.Machine.select(
            t.Machine,
            t.Site.slug.alias("site_slug"),
            t.Image.ref.alias("image_ref"),
            t.Profile.ref.alias("profile_ref"),
            t.Run.home_address.alias("home_address"),
        )
        .join(t.Site, on=t.Site.id == t.Machine.site_id)
        .join(t.Image, JOIN.LEFT_OUTER, on=t.Image.id == t.Machine.image_id)
        .join(t.Profile, JOIN.LEFT_OUTER, on=t.Profile.id == t.Machine.profile_id)
        .join(t.Run, JOIN.LEFT_OUTER, on=home)
    )


def machines_of(ids: Sequence[UUID]) -> list[MachineView]:
    """Return the machines with these *ids*, by host name."""
    query = machine_rows().where(t.Machine.id.in_(ids)).order_by(t.Machine.hostname, t.Machine.id)
    return machine_views(list(query.objects())) if ids else []


def machine(ref: str | UUID, *, called: str = "machine") -> MachineView:
    """Return the machine with this id or host name.  Raises NotFound, also for several.

    *called* is the word that it is asked for by.
    """
    uuid = _uuid(ref)
    where = t.Machine.hostname == str(ref).lower() if uuid is None else t.Machine.id == uuid
    live_first = t.Machine.state == State.RETIRED.value
    rows = list(machine_rows().where(where).order_by(live_first).limit(3).objects())
    named = [row for row in rows if row.state != State.RETIRED.value] or rows
    if len(named) > 1:
        raise NotFound(
            f"{len(named)} machines are called {ref}",
            hint="Use the machine's id: sprout machines list",
        )
    return machine_views([_one(called, ref, next(iter(named), None))])[0]


def machine_views(rows: list[Any]) -> list[MachineView]:
    ids = [row.id for row in rows]
    interfaces = _grouped(_interfaces(ids), lambda pair: pair[0])
    newest = {flow.machine_id: flow for flow in _newest_workflows(ids)}
    return [
        filled(
            MachineView,
            row,
            memory_mib=row.found_memory_mib or row.memory_mib,
            disk_bytes=row.found_disk_bytes or row.disk_bytes,
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
    """Return interfaces with the addresses that they were given.

    A host takes its own by DHCP, so that one of another's server was given none here.
    """
    joined = (t.Allocation.interface_id == t.Interface.id) & (t.Allocation.state != "released")
    given = t.Machine.server_type.is_null() | t.Network.dhcp_mode.not_in(sorted(ELSEWHERE))
    query = (
        t.Interface.select(
            t.Interface, Case(None, [(given, t.Allocation.address)]).alias("address")
        )
        .join(t.Machine, on=t.Machine.id == t.Interface.machine_id)
        .join(t.Allocation, JOIN.LEFT_OUTER, on=joined)
        .join(t.Network, JOIN.LEFT_OUTER, on=t.Network.id == t.Allocation.network_id)
        .where(t.Interface.machine_id.in_(machine_ids))
        .order_by(t.Interface.name)
        .objects()
    )
    return [(row.machine_id, filled(InterfaceView, row)) for row in query] if machine_ids else []


def _newest_workflows(machine_ids: list[UUID]) -> list[WorkflowView]:
    if not machine_ids:
        return []
    query = (
        t.Workflow.select()
        .where(t.Workflow.machine_id.in_(machine_ids) & t.Workflow.parent_id.is_null())
        .distinct(t.Workflow.machine_id)
        .order_by(t.Workflow.machine_id, t.Workflow.created_at.desc())
    )
    return [workflow_view(row) for row in query]


def _grouped(items: Iterable[_View], key: Callable[[_View], UUID]) -> Mapping[UUID, list[_View]]:
    groups: dict[UUID, list[_View]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def workflow_view(row: t.Workflow) -> WorkflowView:
    return filled(
        WorkflowView, row, kind=Kind(row.kind), progress=Progress(row.state), index=row.step
    )


def workflow(workflow_id: UUID) -> WorkflowView:
    """Return one workflow.  Raises NotFound."""
    row = t.Workflow.first_where("id = %s", str(workflow_id))
    return workflow_view(_one("workflow", workflow_id, row))


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
    return [filled(ObservationView, row) for row in reversed(rows)]


def log(flow: WorkflowView, *, limit: int) -> list[ObservationView]:
    """Return the newest *limit* rows of a workflow and of its run, in order."""
    own = t.Observation.workflow_id == flow.id
    if flow.run_id is not None:
        own |= t.Observation.run_id == flow.run_id
    query = t.Observation.select().where((t.Observation.machine_id == flow.machine_id) & own)
    rows = list(query.order_by(t.Observation.id.desc()).limit(limit))
    return [filled(ObservationView, row) for row in reversed(rows)]


def counts(site_id: UUID | None = None, *, among: Sites = None) -> dict[State, int]:
    """Return how many machines are in each state; states without any are 0."""
    query = t.Machine.select(t.Machine.state, fn.COUNT(t.Machine.id)).group_by(t.Machine.state)
    query = _among(query, t.Machine.site_id, among)
    if site_id is not None:
        query = query.where(t.Machine.site_id == site_id)
    rows: Any = query.tuples()
    found: dict[str, int] = dict(rows)
    return {state: int(found.get(state.value, 0)) for state in State}
