"""The forms in which machines come in and go out."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from edge.api import workflows, writing
from edge.api.fields import (
    WHOLE,
    Answer,
    Body,
    Change,
    HostName,
    Int32,
    Int64,
    Labels,
    Line,
    Listing,
    MacAddress,
    Page,
    Path,
    SecretRef,
    SortOf,
    Word,
    either,
    example,
)
from edge.api.images import Architecture
from edge.api.loaders import Loaders
from edge.api.workflows import Workflow
from models import lists
from models.boards import WAKE_ON_LAN
from models.lifecycle import State
from models.phases import Phase
from models.views import MachineView

_AT: Final = "2025-06-01T12:00:00Z"
_BMC: Final = {
    "protocol": "redfish",
    "address": "https://10.0.0.11",
    "system": "",
    "username": "admin",
    "secretRef": "env:BMC_PASSWORD",
    "verifyTls": True,
}
_INTERFACE: Final = {
    "name": "eth0",
    "macAddress": "52:54:00:12:34:56",
    "pxeEnabled": True,
    "networkName": "provisioning",
}
_NEW: Final = {
    "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
    "hostname": "node-01",
    "architecture": "x86_64",
    "interfaces": [_INTERFACE],
    "labels": {"role": "worker"},
    "memoryMib": 65536,
    "diskBytes": 480103981056,
    "bmc": _BMC,
    "rootDisk": {"serial": "S3Z8NB0K", "wwn": "", "minBytes": 480103981056},
}


class MachineRef(Path):
    machine: Annotated[
        Line, Field(description="The machine's id or host name.", examples=["node-01"])
    ]


class MachineFilter(Listing):
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    state: State | None = None
    architecture: Architecture | None = None
    label: Annotated[
        str | None,
        StringConstraints(pattern=r"^[^=\x00-\x1f\x7f]{1,63}=[^\x00-\x1f\x7f]{0,255}$"),
        Field(description="A label that it has, as `name=value`.", examples=["role=worker"]),
    ] = None
    search: Annotated[
        Word, Field(description="Part of a host name, MAC, serial number or address.")
    ] = ""
    sort: Annotated[str, SortOf(lists.MACHINES)] = lists.MACHINES.usual

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that are wanted."""
        return dict([self.label.split("=", 1)]) if self.label else {}


class NewInterface(Body):
    """A network interface; without a name its id is the name."""

    model_config = ConfigDict(json_schema_extra=either({"type": "string"}, "name", "id"))

    id: Annotated[Line | None, Field(description="The caller's own word for it.")] = None
    name: Line | None = None
    mac_address: MacAddress
    pxe_enabled: bool = False
    network_name: Line | None = None

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.name is None and self.id is None:
            raise ValueError("an interface wants a name")
        return self


def _without_a_password(address: str) -> str:
    if "@" in address:
        raise ValueError("who logs in stands in username, and the password where secretRef says")
    return address


def _board_or_wake(schema: dict[str, Any]) -> None:
    """Have the schema demand of a BMC where it is, and where its password is kept."""
    wake = {"properties": {"protocol": {"const": WAKE_ON_LAN}}, "required": ["protocol"]}
    board = {
        "properties": {"protocol": {"enum": ["redfish", "ipmi"]}},
        "required": list(_OF_A_BOARD.values()),
    }
    schema["anyOf"] = [board, wake]


_OF_A_BOARD: Final = {"address": "address", "secret_ref": "secretRef"}


class NewBmc(Body):
    """A BMC.  Its password is never sent here: secretRef says where it is kept.

    With wake-on-lan there is none, and nothing else is said: a packet switches the machine on.
    """

    model_config = ConfigDict(json_schema_extra=_board_or_wake)

    protocol: Literal["redfish", "ipmi", "wake-on-lan"] = "redfish"
    address: Annotated[
        Line,
        AfterValidator(_without_a_password),
        Field(
            description="URL of the Redfish service; for IPMI ipmi://HOST[:PORT], or a host.",
            json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f@]*$"},
        ),
    ] = Field(default_factory=str)
    system: Annotated[Word, Field(description="Id of the System, where there are several.")] = ""
    username: Word = ""
    secret_ref: SecretRef = Field(default_factory=str)
    verify_tls: Annotated[bool, Field(description="Whether its certificate must be good.")] = True

    @model_validator(mode="after")
    def _is_found(self) -> Self:
        if self.protocol == WAKE_ON_LAN:
            return self
        lost = [told for name, told in _OF_A_BOARD.items() if not getattr(self, name)]
        missing = [InitErrorDetails(type="missing", loc=(told,), input=None) for told in lost]
        if missing:
            raise ValidationError.from_exception_data("bmc", missing)
        return self

    def stored(self) -> dict[str, Any]:
        """Return the form that the domain keeps and agents read."""
        return {
            "protocol": self.protocol,
            "address": self.address,
            "system": self.system,
            "username": self.username,
            "secret_ref": self.secret_ref,
            "verify": self.verify_tls,
        }


class NewRootDisk(Body):
    """The one disk to write, by serial or WWN; all that is given must match."""

    model_config = ConfigDict(
        json_schema_extra=either({"type": "string", "minLength": 1}, "serial", "wwn")
    )

    serial: Word = ""
    wwn: Word = ""
    min_bytes: Annotated[int, Field(ge=0, le=2**63 - 1), WHOLE] = 0

    @model_validator(mode="after")
    def _is_identified(self) -> Self:
        if not (self.serial or self.wwn):
            raise ValueError("a root disk wants a serial or a wwn")
        return self


class NewMachine(Body):
    model_config = ConfigDict(json_schema_extra=example(_NEW))

    site_id: UUID
    hostname: HostName
    architecture: Architecture
    interfaces: Annotated[list[NewInterface], Field(min_length=1, max_length=64)]
    labels: Labels = Field(default_factory=dict)
    memory_mib: Int32 | None = None
    disk_bytes: Int64 | None = None
    bmc: NewBmc | None = None
    root_disk: NewRootDisk | None = None


class ChangedMachine(Change):
    """What is named is changed, interfaces as a whole; null takes it away."""

    model_config = ConfigDict(
        json_schema_extra=example({"version": 1, "labels": {"role": "worker"}, "memoryMib": 65536})
    )

    labels: Labels = Field(default_factory=dict)
    memory_mib: Int32 | None = None
    disk_bytes: Int64 | None = None
    bmc: NewBmc | None = None
    root_disk: NewRootDisk | None = None
    loaders: Loaders = Field(default_factory=dict)
    interfaces: Annotated[list[NewInterface], Field(min_length=1, max_length=64)] = Field(
        default_factory=list
    )

    def asked(self) -> dict[str, Any]:
        """Return the columns that were given, and are to change."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"version"}}
        if given.get("bmc") is not None:
            given["bmc"] = given["bmc"].stored()
        if given.get("root_disk") is not None:
            given["root_disk"] = given["root_disk"].model_dump(by_alias=True)
        return given


class Interface(Answer):
    id: UUID
    name: str
    mac_address: Annotated[str, Field(validation_alias="mac")]
    pxe_enabled: bool
    network_name: str | None
    address: str | None


class Bmc(Answer):
    protocol: str = "redfish"
    address: str
    system: str = ""
    username: str = ""
    secret_ref: str = ""
    verify_tls: Annotated[bool, Field(validation_alias="verify")] = True


class RootDisk(Answer):
    serial: str = ""
    wwn: str = ""
    min_bytes: Annotated[int, Field(validation_alias="minBytes")] = 0


class Difference(Answer):
    """What was found, and what it is held against; critical ones fail a commissioning."""

    severity: Literal["critical", "warning", "info"]
    what: Annotated[
        str,
        Field(
            description="What differs: architecture, mac, memoryMib, diskBytes, rootDisk, serial, "
            "uuid, processors, disk, firmware, or `test` and its name.",
            examples=["memoryMib"],
        ),
    ]
    entered: Annotated[
        Any, Field(description="What was entered, or the BMC tells, or what was tested.")
    ]
    found: Annotated[Any, Field(description="What was found, and what counts.")]
    against: Annotated[
        Literal["entered", "bmc", "test"],
        Field(description="What a person entered, what the BMC tells, or a test of the hardware."),
    ] = "entered"


class Machine(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f45-3e4f-7051-8263-748596071829",
                **_NEW,
                "interfaces": [
                    {
                        "id": "018f6f47-5061-7273-8485-960718293041",
                        **_INTERFACE,
                        "address": "10.77.0.10",
                    }
                ],
                "siteSlug": "ams-1",
                "loaders": {"uefi-x64": "shimx64.efi"},
                "address": "10.77.0.10",
                "state": "registered",
                "phase": "registered",
                "failedFrom": None,
                "commissionedAt": None,
                "power": "unknown",
                "facts": {},
                "differences": [],
                "sshHostKeys": [],
                "imageRef": None,
                "profileRef": None,
                "networkId": None,
                "runId": None,
                "workflow": None,
                "version": 1,
                "createdAt": _AT,
                "updatedAt": _AT,
            }
        )
    )

    id: UUID
    site_id: UUID
    site_slug: str
    hostname: str
    architecture: Architecture
    labels: dict[str, str]
    memory_mib: int | None
    disk_bytes: int | None
    bmc: Bmc | None
    root_disk: RootDisk | None
    loaders: dict[str, str]
    interfaces: list[Interface]
    address: Annotated[str | None, Field(description="Of the first interface that has one.")]
    state: Annotated[State, Field(description="What may be asked of it.")]
    phase: Annotated[Phase, Field(description="How far its boot has come.")]
    failed_from: str | None
    commissioned_at: datetime | None
    power: str
    facts: Annotated[
        dict[str, Any], Field(description="What its BMC tells, and what it found itself.")
    ]
    differences: list[Difference]
    ssh_host_keys: list[str]
    image_ref: str | None
    profile_ref: str | None
    network_id: UUID | None
    run_id: UUID | None
    workflow: Annotated[Workflow | None, Field(description="The newest.")]
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the machine *view*."""
        assert isinstance(view, MachineView)  # noqa: S101 - for the type checker
        flow = None if view.workflow is None else Workflow.of(view.workflow)
        fields = {name: getattr(view, name) for name in cls.model_fields if name != "workflow"}
        return cls(**fields, workflow=flow)


class Machines(Page):
    items: list[Machine]


written: Final = writing.writer(
    Machine, workflow=lambda flow: None if flow is None else workflows.written(flow)
)
"""What Machine writes, of a document of `models.documents`."""


class Why(Answer):
    """What a machine waits for, until when, and from whom."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "sentence": "node-01 waits for the machine: its deploy kernel to start and report.",
                "waiting": True,
                "until": _AT,
                "party": "the machine",
                "evidence": "script-served from http, 12 s ago",
                "nextAction": "Look at its console: the kernel was fetched and has not reported.",
            }
        )
    )

    sentence: str
    waiting: bool
    until: datetime | None
    party: str
    evidence: str
    next_action: str
