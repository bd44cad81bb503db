"""The frozen values of approvals, policy decisions and action executions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from models.kinds import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    id: UUID
    machine_id: UUID
    site_id: UUID
    action: str
    decision: str
    reason: str
    decided_by: str
    role: str | None
    parameters: Mapping[str, Any] | None
    parameters_sha256: str | None
    receipts: Mapping[str, str] | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_by: str | None
    workflow_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecisionView:
    id: UUID
    at: datetime
    actor: str
    action: str
    machine_id: UUID | None
    site_id: UUID
    allowed: bool
    rule: str
    reason: str
    would_change: str
    approval_id: UUID | None
    inputs: Mapping[str, Any]
    policy: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionView:
    """*progress*, *detail* and *finished_at* are the workflow's; *result*: its last task's."""

    id: UUID
    action: str
    machine_id: UUID
    site_id: UUID
    workflow_id: UUID
    approval_id: UUID | None
    decision_id: UUID
    parameters: Mapping[str, Any]
    requested_by: str
    reason: str
    created_at: datetime
    progress: Progress
    detail: str
    finished_at: datetime | None
    agent_id: UUID | None
    result: Mapping[str, Any] | None
