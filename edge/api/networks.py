"""Networks of a site: where machines get their addresses, and where they boot."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field, StringConstraints

from edge import auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import Address, Answer, Body, Cidr, Line, Page, Path, Query, Word, example
from models import queries
from models.commands import inventory

api: Final = resource("networks", "Address ranges of sites.")

_EXAMPLE: Final = {
    "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
    "name": "provisioning",
    "cidr": "10.77.0.0/24",
    "gateway": "10.77.0.1",
    "dns": ["10.77.0.1"],
    "rangeStart": "10.77.0.10",
    "rangeEnd": "10.77.0.99",
    "purpose": "provisioning",
}

Purpose = Literal["provisioning", "bmc", "tenant", "storage"]

BaseUrl = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$"),
    Field(description="Where machines of this network reach boot HTTP; no path."),
]


class NetworkRef(Path):
    network: Annotated[UUID, Field(description="The network's id.")]


class NetworkFilter(Query):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None


class NewNetwork(Body):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    site_id: UUID
    name: Line
    cidr: Cidr
    range_start: Address
    range_end: Address
    gateway: Address | None = None
    dns: Annotated[list[Address], Field(max_length=8)] = Field(default_factory=list)
    purpose: Purpose = "provisioning"
    domain: Word = ""
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    mtu: Annotated[int, Field(ge=576, le=9216)] | None = None
    boot_base_url: BaseUrl | None = None
    pool_start: Annotated[Address | None, Field(description="First of the dynamic pool.")] = None
    pool_end: Annotated[Address | None, Field(description="Last of the dynamic pool.")] = None


class Network(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f41-2b3c-7d4e-8f50-6172839405a6",
                **_EXAMPLE,
                "domain": "",
                "vlan": None,
                "mtu": None,
                "bootBaseUrl": None,
                "poolStart": "10.77.0.100",
                "poolEnd": "10.77.0.199",
                "version": 1,
                "createdAt": "2025-06-01T12:00:00Z",
                "updatedAt": "2025-06-01T12:00:00Z",
            }
        )
    )

    id: UUID
    site_id: UUID
    name: str
    cidr: str
    gateway: str | None
    dns: list[str]
    range_start: str
    range_end: str
    purpose: Purpose
    domain: str
    vlan: int | None
    mtu: int | None
    boot_base_url: str | None
    pool_start: str | None
    pool_end: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class Networks(Page):
    items: list[Network]


@operation(
    api,
    "post",
    "/v1/networks",
    "createNetwork",
    answer=Network,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken"),
    action="network.create",
)
def create(body: NewNetwork) -> Response:
    """Create a network.  Networks of one site must not overlap."""
    network_id = inventory.create_network(auth.caller(), inventory.NewNetwork(**body.model_dump()))
    made = Network.of(queries.network(network_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/networks/{network_id}")


@operation(api, "get", "/v1/networks", "listNetworks", answer=Networks, refuses=("not-found",))
def index(query: NetworkFilter) -> Response:
    """List networks, by name."""
    site_id = None if query.site_id is None else queries.site(query.site_id).id
    return answered(Networks(items=[Network.of(view) for view in queries.networks(site_id)]))


@operation(api, "get", "/v1/networks/<network>", "getNetwork", answer=Network)
def show(path: NetworkRef) -> Response:
    """Show one network."""
    return answered(Network.of(queries.network(path.network)))
