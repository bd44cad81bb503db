"""The frozen values that leave `models`: what queries return and pages, API and agents read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from models.kinds import Kind, Progress
from models.lifecycle import State
from models.phases import Phase
from models.steps import Step
from models.workflows import of_params


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    id: UUID
    name: str
    slug: str
    labels: Mapping[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """*live* says whether a heartbeat came within the last LIVE_S seconds.

    *networks_current*: it holds the site's networks as they are now.  *doubled*: two processes
    speak with its id.
    """

    id: UUID
    site_id: UUID
    hostname: str
    software: str
    capabilities: tuple[str, ...]
    advertise: Mapping[str, Any]
    plan_digest: str
    clock_offset_ms: int
    registered_at: datetime
    last_seen_at: datetime
    contact_since: datetime
    drained: bool
    synced_at: datetime | None
    speaks: tuple[int, ...]
    live: bool
    networks_current: bool
    doubled: bool
    checked: Mapping[str, Any] | None
    checked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    id: UUID
    site_id: UUID
    name: str
    cidr: str
    gateway: str | None
    dns: tuple[str, ...]
    range_start: str
    range_end: str
    purpose: str
    domain: str
    vlan: int | None
    mtu: int | None
    boot_base_url: str | None
    pool_start: str | None
    pool_end: str | None
    dhcp_mode: str
    ntp: tuple[str, ...]
    search: tuple[str, ...]
    routes: tuple[Mapping[str, str], ...]
    lease_s: int
    strangers_boot: bool
    answer_rs: bool
    loaders: dict[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactView:
    id: UUID
    ref: str
    name: str
    backend: str
    base_url: str
    prefix: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """*checksums* maps each path to its SHA-256 (hexadecimal); *image_bytes*: the medium's size."""

    id: UUID
    ref: str
    name: str
    architecture: str
    artifact_ref: str
    prefix: str
    installer: str
    kernel_path: str
    initrd_path: str
    image_path: str
    iso_path: str
    kernel_args: tuple[str, ...]
    checksums: Mapping[str, str]
    image_bytes: int
    initrd_bytes: int
    older_media: bool
    is_default: bool
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileView:
    id: UUID
    ref: str
    name: str
    cloud_config_template: str
    ssh_keys: tuple[str, ...]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceView:
    id: UUID
    name: str
    mac: str
    pxe_enabled: bool
    network_name: str | None
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """*index* and *attempt* say where it stands in its table; *detail* why it failed, if it did."""

    id: UUID
    kind: Kind
    machine_id: UUID
    site_id: UUID
    run_id: UUID | None
    progress: Progress
    index: int
    attempt: int
    detail: str
    params: Mapping[str, Any]
    requested_by: str
    reason: str
    request_id: str
    begun_at: datetime
    deadline_at: datetime
    created_at: datetime
    finished_at: datetime | None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The table that this workflow walks."""
        return of_params(self.kind, self.params).steps

    @property
    def step(self) -> Step | None:
        """The step it stands at, or None at the end."""
        return self.steps[self.index] if self.index < len(self.steps) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    id: UUID
    site_id: UUID
    site_slug: str
    hostname: str
    architecture: str
    labels: Mapping[str, str]
    memory_mib: int | None
    disk_bytes: int | None
    bmc: Mapping[str, Any] | None
    root_disk: Mapping[str, Any] | None
    loaders: Mapping[str, str]
    server_type: str | None
    interfaces: tuple[InterfaceView, ...]
    state: State
    phase: Phase
    failed_from: str | None
    commissioned_at: datetime | None
    power: str
    facts: Mapping[str, Any]
    differences: tuple[Mapping[str, Any], ...]
    ssh_host_keys: tuple[str, ...]
    image_ref: str | None
    profile_ref: str | None
    network_id: UUID | None
    run_id: UUID | None
    home_address: str | None
    """Where its first boot said that it is; empty or None where that says nothing of it."""
    epoch: int
    plan_version: int
    version: int
    created_at: datetime
    updated_at: datetime
    workflow: WorkflowView | None
    """The newest workflow: what is being done, or was done last."""

    @property
    def address(self) -> str | None:
        """Where it said that it is, else the address of the first interface that has one."""
        given = (i.address for i in self.interfaces if i.address)
        return self.home_address or next(given, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationView:
    id: UUID
    network_id: UUID
    machine_id: UUID
    interface_id: UUID
    address: str
    mac: str
    state: str
    provider: str
    external_id: str | None
    created_at: datetime
    released_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationView:
    """A row of a timeline: *at* by the clock of who saw it, *received_at* by the database's."""

    id: int
    machine_id: UUID | None
    run_id: UUID | None
    workflow_id: UUID | None
    source: str
    kind: str
    at: datetime
    received_at: datetime
    applied: bool
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """A blob of *size* bytes that a task brought up; *at* by the clock of its site."""

    id: int
    machine_id: UUID
    task_id: UUID
    workflow_id: UUID
    name: str
    sha256: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditView:
    id: int
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    site_id: UUID | None
    machine_id: UUID | None
    outcome: str
    reason: str
    request_id: str
    source_ip: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealView:
    """A link of the audit's chain; *ids* are the rows that it covers."""

    id: int
    ids: tuple[int, ...]
    previous: str
    hash: str
    sealed_at: datetime
