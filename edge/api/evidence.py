"""Evidence of a machine: what its tasks brought that fits no message, kept as blobs."""

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Listing, Page, SortOf, example
from edge.api.machine_forms import MachineRef
from models import lists, queries
from models.views import EvidenceView

api: Final = resource("evidence", "What tasks brought that fits no message, kept as blobs.")

_SHA256: Final = "5ce23063ea2bdb8c2ff10fca9ad7d36844e551bf2509be32202856f6d280d5d1"


class EvidenceFilter(Listing):
    workflow_id: Annotated[UUID | None, Field(description="The workflow that it came of.")] = None
    sort: Annotated[str, SortOf(lists.EVIDENCE)] = lists.EVIDENCE.usual


class Evidence(Answer):
    """One piece; its content is at `url`, for whoever may read this."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": 43,
                "machineId": "018f6f45-3e4f-7051-8263-748596071829",
                "taskId": "018f6f47-5061-7273-8495-a60718293041",
                "workflowId": "018f6f46-4f50-7162-8374-859607182930",
                "name": "redfish-inventory-record.json",
                "sha256": _SHA256,
                "size": 4442,
                "at": "2025-06-01T12:00:00Z",
                "url": f"/v1/blobs/{_SHA256}",
            }
        )
    )

    id: int
    machine_id: UUID
    task_id: UUID
    workflow_id: UUID
    name: str
    sha256: str
    size: Annotated[int, Field(description="Bytes of its content.")]
    at: Annotated[datetime, Field(description="When it was here whole, by the site's clock.")]
    url: str

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the evidence *view*."""
        assert isinstance(view, EvidenceView)  # noqa: S101 - for the type checker
        values = {name: getattr(view, name) for name in cls.model_fields if name != "url"}
        return cls(**values, url=f"/v1/blobs/{view.sha256}")


class EvidenceList(Page):
    items: list[Evidence]


@operation(
    api,
    "get",
    "/v1/machines/<machine>/evidence",
    "listMachineEvidence",
    answer=EvidenceList,
    action="evidence.read",
)
def index(path: MachineRef, query: EvidenceFilter) -> Response:
    """List what tasks of a machine brought up."""
    machine = queries.machine(path.machine)
    found = lists.evidence(machine.id, workflow_id=query.workflow_id, ask=query.ask())
    return answered(EvidenceList.showing(found))
