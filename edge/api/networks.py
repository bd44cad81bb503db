"""Networks of a site: where machines get their addresses, and where they boot."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field, StringConstraints

from edge import access, auth, conditions
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    WHOLE,
    Address,
    Answer,
    Body,
    Change,
    Cidr,
    Line,
    Listing,
    Page,
    Path,
    SortOf,
    Word,
    example,
)
from edge.api.loaders import Loaders
from models import lists, queries
from models.commands import networks as commands

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
    "poolStart": "10.77.0.100",
    "poolEnd": "10.77.0.199",
    "dhcpMode": "full",
    "ntp": ["10.77.0.1"],
    "search": ["rack.example"],
    "routes": [{"to": "10.9.0.0/16", "via": "10.77.0.2"}],
    "leaseS": 3600,
    "strangersBoot": False,
    "answerRs": True,
    "loaders": {"uefi-x64": "shimx64.efi"},
}

Purpose = Literal["provisioning", "bmc", "tenant", "storage"]

BaseUrl = Annotated[
    str,
    StringConstraints(max_length=255, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$"),
    Field(description="Where machines of this network reach boot HTTP; no path."),
]


DhcpMode = Annotated[
    Literal["full", "reserved", "proxy", "off"],
    Field(
        description="full: reservations, and leases from the pool for all others; reserved: "
        "reservations alone; proxy: boot options beside another server; off: not a word."
    ),
]
Lease = Annotated[
    int, Field(ge=60, le=86_400, description="Seconds that a lease is given for."), WHOLE
]
Strangers = Annotated[
    bool, Field(description="With mode proxy: clients that no machine's plan names boot too.")
]
AnswerRs = Annotated[
    bool,
    Field(
        description="Answer IPv6 router solicitations with an advertisement that changes nothing: "
        "iPXE then does not wait 16 s for one."
    ),
]


Vlan = Annotated[int, Field(ge=1, le=4094), WHOLE]
Mtu = Annotated[int, Field(ge=576, le=9216), WHOLE]
Servers = Annotated[list[Address], Field(max_length=8)]
Search = Annotated[
    list[Line], Field(max_length=16, description="Domains that short names are looked up in.")
]
First = Annotated[Address | None, Field(description="First of the dynamic pool.")]
Last = Annotated[Address | None, Field(description="Last of the dynamic pool.")]


class NetworkRef(Path):
    network: Annotated[UUID, Field(description="The network's id.")]


class NetworkFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    purpose: Purpose | None = None
    sort: Annotated[str, SortOf(lists.NETWORKS)] = lists.NETWORKS.usual


class NewRoute(Body):
    """A classless static route (RFC 3442)."""

    model_config = ConfigDict(json_schema_extra=example({"to": "10.9.0.0/16", "via": "10.77.0.2"}))

    to: Cidr
    via: Annotated[Address, Field(description="A neighbour on this network.")]


Routes = Annotated[list[NewRoute], Field(max_length=32)]


class NewNetwork(Body):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    site_id: UUID
    name: Line
    cidr: Cidr
    range_start: Annotated[Address, Field(description="First address of known machines.")]
    range_end: Annotated[Address, Field(description="Last address of known machines.")]
    gateway: Address | None = None
    dns: Servers = Field(default_factory=list)
    purpose: Purpose = "provisioning"
    domain: Word = ""
    vlan: Vlan | None = None
    mtu: Mtu | None = None
    boot_base_url: BaseUrl | None = None
    pool_start: First = None
    pool_end: Last = None
    dhcp_mode: DhcpMode = "reserved"
    ntp: Servers = Field(default_factory=list)
    search: Search = Field(default_factory=list)
    routes: Routes = Field(default_factory=list)
    lease_s: Lease = 3600
    strangers_boot: Strangers = False
    answer_rs: AnswerRs = False
    loaders: Loaders = Field(default_factory=dict)

    def asked(self) -> commands.NewNetwork:
        """Return what the domain is asked for."""
        return commands.NewNetwork(**_asked(self.model_dump()))


class ChangedNetwork(Change):
    """What is to change; a field that is left out stays, null clears one that may be empty."""

    model_config = ConfigDict(
        json_schema_extra=example({"version": 1, "dhcpMode": "full", "leaseS": 7200})
    )

    name: Line = Field(default_factory=str)
    range_start: Address = Field(default_factory=str)
    range_end: Address = Field(default_factory=str)
    gateway: Address | None = None
    dns: Servers = Field(default_factory=list)
    domain: Word = Field(default_factory=str)
    vlan: Vlan | None = None
    mtu: Mtu | None = None
    boot_base_url: BaseUrl | None = None
    pool_start: First = None
    pool_end: Last = None
    dhcp_mode: DhcpMode = Field(default_factory=lambda: "reserved")
    ntp: Servers = Field(default_factory=list)
    search: Search = Field(default_factory=list)
    routes: Routes = Field(default_factory=list)
    lease_s: Lease = Field(default_factory=int)
    strangers_boot: Strangers = Field(default_factory=bool)
    answer_rs: AnswerRs = Field(default_factory=bool)
    loaders: Loaders = Field(default_factory=dict)

    def asked(self) -> dict[str, Any]:
        """Return the fields that were given, and are to change."""
        return _asked(super().asked())


def _asked(fields: dict[str, Any]) -> dict[str, Any]:
    if "routes" in fields:
        fields["routes"] = [(route["to"], route["via"]) for route in fields["routes"]]
    return fields


class Route(Answer):
    to: str
    via: str


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
    dhcp_mode: DhcpMode
    ntp: list[str]
    search: list[str]
    routes: list[Route]
    lease_s: int
    strangers_boot: Strangers
    answer_rs: AnswerRs
    loaders: dict[str, str]
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
    refuses=("invalid", "unknown-reference", "taken", "exhausted", "illegal-transition"),
    action="network.create",
)
def create(body: NewNetwork) -> Response:
    """Create a network.  Networks of one site must not overlap.

    Where an external provider holds networks, it is refused: they are made there.
    """
    network_id = commands.create_network(auth.caller(), body.asked())
    made = Network.of(queries.network(network_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/networks/{network_id}")


@operation(
    api,
    "get",
    "/v1/networks",
    "listNetworks",
    answer=Networks,
    refuses=("not-found",),
    action="network.read",
)
def index(query: NetworkFilter) -> Response:
    """List networks."""
    found = lists.networks(
        among=access.visible_sites(),
        site_id=queries.site_id(query.site_id),
        purpose=query.purpose,
        ask=query.ask(),
    )
    return answered(Networks.showing(found))


@operation(
    api, "get", "/v1/networks/<network>", "getNetwork", answer=Network, action="network.read"
)
def show(path: NetworkRef) -> Response:
    """Show one network."""
    return answered(Network.of(queries.network(path.network)))


@operation(
    api,
    "patch",
    "/v1/networks/<network>",
    "updateNetwork",
    answer=Network,
    refuses=("invalid", "taken", "illegal-transition", "exhausted"),
    action="network.update",
)
def update(path: NetworkRef, body: ChangedNetwork) -> Response:
    """Change a network, and tell its site's agents at once; site, CIDR and purpose stay.

    Of a network that an external provider holds, name, gateway and range are changed there.
    """
    version = conditions.expected(body.version)
    commands.update_network(auth.caller(), path.network, body.asked(), version=version)
    return answered(Network.of(queries.network(path.network)))


@operation(
    api,
    "delete",
    "/v1/networks/<network>",
    "deleteNetwork",
    answer=Network,
    refuses=("in-use", "illegal-transition"),
    action="network.delete",
)
def delete(path: NetworkRef) -> Response:
    """Forget a network on which no machine has an address; answers what it was."""
    gone = Network.of(queries.network(path.network))
    version = conditions.expected(None, demanded=False)
    commands.delete_network(auth.caller(), path.network, version=version)
    return answered(gone)
