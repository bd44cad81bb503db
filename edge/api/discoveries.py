"""Discoveries: machines that nobody entered, which asked to boot."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access, auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    HostName,
    Int32,
    Int64,
    Labels,
    Line,
    Listing,
    Page,
    Path,
    Reason,
    SortOf,
    example,
)
from edge.api.images import Architecture
from edge.api.machine_forms import Machine, NewBmc, NewRootDisk
from models import queries
from models.commands import adopting, discoveries
from models.discoveries import DiscoveryView, Verdict
from models.paging import Part

api: Final = resource("discoveries", "Machines that nobody entered, which asked to boot.")

_AT: Final = "2025-06-01T12:00:00Z"
_EXAMPLE: Final = {
    "id": "018f6f4a-1b2c-7d3e-8f40-5162738495a6",
    "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
    "siteSlug": "ams-1",
    "mac": "52:54:00:12:34:56",
    "state": "new",
    "smbiosUuid": "4c4c4544-0042-3510-8054-b4c04f4a4d32",
    "arch": 7,
    "architecture": "x86_64",
    "vendorClass": "PXEClient:Arch:00007:UNDI:003016",
    "relay": None,
    "address": "10.77.0.100",
    "agentId": "018f6f40-1a2b-7c3d-8e4f-506172839405",
    "times": 3,
    "firstSeen": _AT,
    "lastSeen": _AT,
    "machineId": None,
    "decidedBy": "",
    "decidedAt": None,
}


class DiscoveryRef(Path):
    discovery: Annotated[UUID, Field(description="The discovery's id.")]


class DiscoveryFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    state: Verdict | None = None
    sort: Annotated[str, SortOf(discoveries.ORDER)] = discoveries.ORDER.usual


class Acceptance(Body):
    """What is to be said of it as a machine; MAC and, if it tells it, architecture are known."""

    model_config = ConfigDict(
        json_schema_extra=example({"hostname": "node-01", "labels": {"role": "worker"}})
    )

    hostname: HostName
    architecture: Annotated[
        Architecture | None, Field(description="Left out: what the machine says itself.")
    ] = None
    interface_name: Annotated[Line, Field(description="Of the interface it boots from.")] = "eth0"
    network_name: Line | None = None
    labels: Labels = Field(default_factory=dict)
    memory_mib: Int32 | None = None
    disk_bytes: Int64 | None = None
    bmc: NewBmc | None = None
    root_disk: NewRootDisk | None = None

    def said(self) -> adopting.Adoption:
        """Return what the domain is told."""
        return adopting.Adoption(
            hostname=self.hostname,
            architecture=self.architecture,
            interface=self.interface_name,
            network_name=self.network_name,
            labels=self.labels,
            memory_mib=self.memory_mib,
            disk_bytes=self.disk_bytes,
            bmc=None if self.bmc is None else self.bmc.stored(),
            root_disk=None if self.root_disk is None else self.root_disk.model_dump(by_alias=True),
        )


class Ignoring(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "a visitor's laptop"}))

    reason: Reason = ""


class Discovery(Answer):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    id: UUID
    site_id: UUID
    site_slug: str
    mac: str
    state: Verdict
    smbios_uuid: UUID | None
    arch: Annotated[int | None, Field(description="Its code of RFC 4578.")]
    architecture: Annotated[str | None, Field(description="What that code means, if known.")]
    vendor_class: str
    relay: Annotated[str | None, Field(description="The relay that its question came by.")]
    address: Annotated[str | None, Field(description="What it was offered last.")]
    agent_id: Annotated[UUID | None, Field(description="Who saw it last.")]
    times: Annotated[int, Field(description="How often a site told of it.")]
    first_seen: datetime
    last_seen: datetime
    machine_id: Annotated[UUID | None, Field(description="The machine that it became.")]
    decided_by: str
    decided_at: datetime | None


class Discoveries(Page):
    model_config = ConfigDict(
        json_schema_extra=example({"items": [_EXAMPLE], "next": None, "dropped": 0})
    )

    items: list[Discovery]
    dropped: Annotated[
        int, Field(description="How many were forgotten because a site had too many.")
    ]


@operation(
    api,
    "get",
    "/v1/discoveries",
    "listDiscoveries",
    answer=Discoveries,
    refuses=("not-found",),
    action="discovery.read",
)
def index(query: DiscoveryFilter) -> Response:
    """List discoveries."""
    dropped = discoveries.counts(_site(query), among=access.visible_sites())["dropped"]
    return answered(Discoveries.showing(found(query), dropped=dropped))


def found(query: DiscoveryFilter) -> Part[DiscoveryView]:
    """Return the discoveries that *query* asks for, of those that the caller sees."""
    return discoveries.listed(
        among=access.visible_sites(), site_id=_site(query), state=query.state, ask=query.ask()
    )


def _site(query: DiscoveryFilter) -> UUID | None:
    return queries.site_id(query.site_id)


@operation(
    api,
    "get",
    "/v1/discoveries/<discovery>",
    "getDiscovery",
    answer=Discovery,
    action="discovery.read",
)
def show(path: DiscoveryRef) -> Response:
    """Show one discovery."""
    return answered(Discovery.of(discoveries.one(path.discovery)))


@operation(
    api,
    "post",
    "/v1/discoveries/<discovery>/accept",
    "acceptDiscovery",
    answer=Machine,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "taken", "illegal-transition"),
    action="discovery.accept",
)
def accept(path: DiscoveryRef, body: Acceptance) -> Response:
    """Make a machine of a discovery: registered, with the interface that it booted from."""
    machine_id = adopting.accept(auth.caller(), path.discovery, body.said())
    made = Machine.of(queries.machine(machine_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/machines/{machine_id}")


@operation(
    api,
    "post",
    "/v1/discoveries/<discovery>/ignore",
    "ignoreDiscovery",
    answer=Discovery,
    refuses=("illegal-transition",),
    action="discovery.ignore",
)
def ignore(path: DiscoveryRef, body: Ignoring) -> Response:
    """Show a discovery no longer as new; it can still be accepted."""
    discoveries.ignore(auth.caller(), path.discovery, reason=body.reason)
    return answered(Discovery.of(discoveries.one(path.discovery)))
