"""The forms in which hosts come in and go out: in the words of /api/hosts, with underscores."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from edge.api.fields import (
    Answer,
    Body,
    HostName,
    Line,
    Listing,
    MacAddress,
    Page,
    Path,
    Reason,
    SortOf,
    Word,
    example,
)
from models import hosts, lists
from models.homes import HostView
from models.kinds import Kind, Progress
from models.phases import Phase
from models.steps import Party
from models.views import MachineView, WorkflowView

_AT: Final = "2025-06-01T12:00:00Z"
_HOST: Final = "018f6f45-3e4f-7051-8263-748596071829"
_NEW: Final = {"hostname": "pve-01", "mac": "52:54:00:12:34:56", "server_type": "minisforum-ms-01"}
_OPERATION: Final = {
    "id": "018f6f46-4f50-7162-8374-859607182930",
    "host_id": _HOST,
    "kind": "provision",
    "state": "running",
    "step": "netbooted",
    "expects": "power it on and boot from the network",
    "party": "a person",
    "detail": "",
    "requested_by": "admin",
    "reason": "",
    "begun_at": _AT,
    "deadline_at": "2025-06-02T12:00:00Z",
    "created_at": _AT,
    "finished_at": None,
}


class HostRef(Path):
    host: Annotated[Line, Field(description="The host's id or name.", examples=["pve-01"])]


class HostFilter(Listing):
    search: Annotated[Word, Field(description="Part of a host name, MAC or address.")] = ""
    sort: Annotated[str, SortOf(lists.MACHINES)] = lists.MACHINES.usual


class NewHost(Body):
    model_config = ConfigDict(alias_generator=None, json_schema_extra=example(_NEW))

    hostname: HostName
    mac: MacAddress
    server_type: Annotated[Line, Field(description="A key of the file of server types.")]


class Rebuild(Body):
    """Why, and by whose leave; what is installed is chosen."""

    model_config = ConfigDict(
        alias_generator=None, json_schema_extra=example({"reason": "a new disk"})
    )

    reason: Reason = ""
    approval_id: UUID | None = Field(
        default=None, description="The approval that it rests on, where policy wants one."
    )


class Operation(Answer):
    """What is being done to a host, or was done last: its workflow, at the step that it is at."""

    model_config = ConfigDict(alias_generator=None, json_schema_extra=example(_OPERATION))

    id: UUID
    host_id: UUID
    kind: Kind
    state: Progress
    step: Annotated[str | None, Field(description="Null at the end.")]
    expects: Annotated[str, Field(description="What is waited for.")]
    party: Annotated[Party | None, Field(description="Who is waited for.")]
    detail: Annotated[
        str, Field(description="Why it failed, or why the last try of what is waited for did.")
    ]
    requested_by: str
    reason: str
    begun_at: Annotated[datetime, Field(description="When the current step began.")]
    deadline_at: Annotated[datetime, Field(description="Until when the current step may take.")]
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the workflow *view*."""
        assert isinstance(view, WorkflowView)  # noqa: S101 - for the type checker
        step = view.step if view.progress is Progress.RUNNING else None
        told: dict[str, Any] = {
            "host_id": view.machine_id,
            "state": view.progress,
            "step": None if step is None else step.name,
            "expects": "" if step is None else step.expects,
            "party": None if step is None else step.party,
        }
        same = {name: getattr(view, name) for name in cls.model_fields if name not in told}
        return cls(**same, **told)


class Host(Answer):
    """A machine with a server type; `operation` is its newest workflow."""

    model_config = ConfigDict(
        alias_generator=None,
        json_schema_extra=example(
            {
                "id": _HOST,
                **_NEW,
                "site": "home",
                "state": "pxe_ready",
                "ip": None,
                "hardware_id": None,
                "image": "proxmox-9.1",
                "operation": _OPERATION,
                "created_at": _AT,
                "updated_at": _AT,
            }
        ),
    )

    id: UUID
    hostname: str
    mac: str
    server_type: str
    site: Annotated[str, Field(description="The slug of the site that it is at.")]
    state: Phase
    ip: Annotated[
        str | None, Field(description="Where its first boot said that it is; before, its address.")
    ]
    hardware_id: Annotated[
        str | None,
        Field(description="What its first boot told, else its BMC: UUID or serial number."),
    ]
    image: Annotated[str | None, Field(description="The reference of what is installed on it.")]
    operation: Operation | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the host *view*."""
        assert isinstance(view, HostView)  # noqa: S101 - for the type checker
        return cls(ip=view.ip, hardware_id=view.hardware_id, **_of_machine(view.machine))


def _of_machine(view: MachineView) -> dict[str, Any]:
    boots = [each.mac for each in view.interfaces if each.pxe_enabled]
    return {
        "id": view.id,
        "hostname": view.hostname,
        "mac": next(iter(boots), ""),
        "server_type": view.server_type or "",
        "site": view.site_slug,
        "state": hosts.standing(view),
        "image": view.image_ref,
        "operation": None if view.workflow is None else Operation.of(view.workflow),
        "created_at": view.created_at,
        "updated_at": view.updated_at,
    }


class Hosts(Page):
    items: list[Host]
