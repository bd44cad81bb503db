"""The audit: who asked for what, and how it was answered."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Line, Listing, Page, SortOf, example
from models import lists, queries
from models.paging import Part
from models.views import AuditView

api: Final = resource("audit", "Who asked for what, and how it was answered; never changed.")


Outcome = Literal["done", "refused"]


class AuditFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    actor: Annotated[Line | None, Field(description="Who asked.")] = None
    action: Annotated[Line | None, Field(description="What for, such as machine.provision.")] = None
    outcome: Outcome | None = None
    request_id: Annotated[Line | None, Field(description="X-Request-Id of the request.")] = None
    sort: Annotated[str, SortOf(lists.AUDIT)] = lists.AUDIT.usual

    def wanted(self) -> dict[str, Any]:
        """Return the columns that are to be as told."""
        return {
            **self.model_dump(include={"actor", "action", "outcome", "request_id"}),
            "site_id": None if self.site_id is None else queries.site(self.site_id).id,
            "machine_id": None if self.machine_id is None else queries.machine(self.machine_id).id,
        }


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
    outcome: Outcome
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
    """List audit records."""
    return answered(AuditRecords.showing(found(query)))


def found(query: AuditFilter) -> Part[AuditView]:
    """Return the audit records that *query* asks for, of those that the caller sees."""
    return lists.audit(among=access.visible_sites(), wanted=query.wanted(), ask=query.ask())


class SealFilter(Listing):
    sort: Annotated[str, SortOf(lists.SEALS)] = lists.SEALS.usual


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
    """List the seals of the audit: each covers the rows in `ids`."""
    return answered(AuditSeals.showing(lists.audit_seals(ask=query.ask())))
