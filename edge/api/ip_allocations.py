"""IP allocations: which address each interface has, and had."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Line, Listing, Page, SortOf, example
from models import lists, queries

api: Final = resource("ip allocations", "Addresses of machines; made by provisioning.")


AllocationState = Literal["reserved", "active", "releasing", "released"]


class AllocationFilter(Listing):
    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    network_id: Annotated[UUID | None, Field(description="The network's id.")] = None
    state: AllocationState | None = None
    sort: Annotated[str, SortOf(lists.ALLOCATIONS)] = lists.ALLOCATIONS.usual


class Allocation(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f48-6172-7384-8596-071829304152",
                "networkId": "018f6f41-2b3c-7d4e-8f50-6172839405a6",
                "machineId": "018f6f45-3e4f-7051-8263-748596071829",
                "interfaceId": "018f6f47-5061-7273-8485-960718293041",
                "address": "10.77.0.10",
                "mac": "52:54:00:12:34:56",
                "state": "active",
                "provider": "builtin",
                "externalId": None,
                "createdAt": "2025-06-01T12:00:00Z",
                "releasedAt": None,
            }
        )
    )

    id: UUID
    network_id: UUID
    machine_id: UUID
    interface_id: UUID
    address: str
    mac: str
    state: AllocationState
    provider: Annotated[
        str, Field(description="`builtin`, or what an external IPAM speaks and where.")
    ]
    external_id: Annotated[str | None, Field(description="What the external IPAM calls it.")]
    created_at: datetime
    released_at: datetime | None


class Allocations(Page):
    items: list[Allocation]


@operation(
    api,
    "get",
    "/v1/ip-allocations",
    "listIpAllocations",
    answer=Allocations,
    refuses=("not-found",),
    action="ip-allocation.read",
)
def index(query: AllocationFilter) -> Response:
    """List allocations."""
    found = lists.allocations(
        among=access.visible_sites(),
        machine_id=None if query.machine_id is None else queries.machine(query.machine_id).id,
        network_id=query.network_id,
        state=query.state,
        ask=query.ask(),
    )
    return answered(Allocations.showing(found))
