"""Jobs of sites as they are shown, and what one that waits is waiting for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Mode(StrEnum):
    """What is done with an artifact's files at a site."""

    PRESEED = "preseed"
    VERIFY = "verify"
    PRUNE = "prune"
    REFRESH = "refresh"


WAITS_FOR: Final[Mapping[Mode, str]] = MappingProxyType(
    {
        Mode.PRESEED: "an agent of the site that fetches files ahead of their use",
        Mode.VERIFY: "an agent of the site that compares the files it has with their checksums",
        Mode.PRUNE: "an agent of the site that drops files that nothing needs",
        Mode.REFRESH: "an agent of the site that fetches files anew",
    }
)

PROVIDERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "metadata-export": frozenset({"webhook", "openmetadata"}),
        "inventory-import": frozenset({"http"}),
    }
)
"""Kinds of integration, and who each can be done with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobView:
    """*attempt* counts failures since something came last; *agent_id* has, or had, its task."""

    id: UUID
    site_id: UUID
    artifact_id: UUID
    artifact_ref: str
    mode: str
    state: str
    detail: str
    files_done: int
    files_total: int | None
    bytes_done: int
    bytes_total: int | None
    attempt: int
    agent_id: UUID | None
    deadline_at: datetime
    findings: list[dict[str, str]]
    requested_by: str
    reason: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationView:
    """An installer's ISO that becomes an image; *bytes_done* of about *bytes_total* are written.

    The ISO is a blob, or lies at *iso_path* below the artifact folder; *parts* are the SHA-256s of
    what was made of it, by file name.
    """

    id: UUID
    ref: str
    name: str
    iso_sha256: str
    iso_path: str
    state: str
    detail: str
    bytes_done: int
    bytes_total: int
    release: str
    parts: Mapping[str, str]
    image_id: UUID | None
    requested_by: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    id: UUID
    job_id: UUID
    state: str
    detail: str
    records: int
    dry_run: bool
    result: dict[str, Any]
    requested_by: str
    reason: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """One try to hand over, or to read, a part; *status* 0: no answer, *excerpt* says why."""

    id: int
    part: int
    attempt: int
    what: str
    status: int
    ms: float
    excerpt: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationJobView:
    """*last_run* is the newest, None before the first."""

    id: UUID
    site_id: UUID
    name: str
    kind: str
    provider: str
    endpoint: str
    secret_ref: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    last_run: RunView | None
