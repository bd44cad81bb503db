"""The audit: who asked for what, and how it was answered."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Limit, Line, Page, Query, example
from models import queries

api: Final = resource("audit", "Who asked for what, and how it was answered; never changed.")


class AuditFilter(Query):
    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    order: Annotated[Literal["newest", "oldest"], Field(description="Which rows come first.")] = (
        "newest"
    )
    limit: Limit = 100
    cursor: Annotated[
        int | None, Field(ge=1, le=2**63 - 1, description="`next` of the page before.")
    ] = None


class AuditRecord(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": 7,
                "at": "2025-06-01T12:00:00Z",
                "actor": "admin",
                "action": "machine.commission",
                "objectKind": "machine",
                "objectId": "018f6f45-3e4f-7051-8263-748596071829",
                "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
                "machineId": "018f6f45-3e4f-7051-8263-748596071829",
                "outcome": "done",
                "reason": "rack 4 is new",
                "requestId": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
                "sourceIp": "127.0.0.1",
                "data": {"from": "registered", "to": "commissioning"},
            }
        )
    )

    id: int
    at: datetime
    actor: str
    action: str
    object_kind: str
    object_id: str
    site_id: UUID | None
    machine_id: UUID | None
    outcome: Literal["done", "refused"]
    reason: str
    request_id: str
    source_ip: str
    data: dict[str, Any]


class AuditRecords(Page):
    items: list[AuditRecord]


@operation(
    api,
    "get",
    "/v1/audit",
    "listAudit",
    answer=AuditRecords,
    refuses=("not-found",),
    action="audit.read",
)
def index(query: AuditFilter) -> Response:
    """List audit records; `next` is the cursor of the following page."""
    machine_id = None if query.machine_id is None else queries.machine(query.machine_id).id
    oldest = query.order == "oldest"
    found = queries.audit(
        machine_id,
        before=None if oldest else query.cursor,
        after=(query.cursor or 0) if oldest else None,
        limit=query.limit + 1,
        among=access.visible_sites(),
    )
    shown = found[: query.limit]
    after = str(shown[-1].id) if len(found) > query.limit else None
    return answered(AuditRecords(items=[AuditRecord.of(view) for view in shown], next=after))


class SealFilter(Query):
    limit: Limit = 100
    cursor: Annotated[int, Field(ge=0, le=2**63 - 1, description="`next` of the page before.")] = 0


class AuditSeal(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": 3,
                "ids": [6, 7],
                "previous": "5f" * 32,
                "hash": "a1" * 32,
                "sealedAt": "2025-06-01T12:00:01Z",
            }
        )
    )

    id: int
    ids: list[int]
    previous: str
    hash: str
    sealed_at: datetime


class AuditSeals(Page):
    items: list[AuditSeal]


@operation(
    api, "get", "/v1/audit-seals", "listAuditSeals", answer=AuditSeals, action="audit-seal.read"
)
def index_seals(query: SealFilter) -> Response:
    """List the seals of the audit, from the first on: each covers the rows in `ids`."""
    found = queries.audit_seals(after=query.cursor, limit=query.limit + 1)
    shown = found[: query.limit]
    after = str(shown[-1].id) if len(found) > query.limit else None
    return answered(AuditSeals(items=[AuditSeal.of(view) for view in shown], next=after))
