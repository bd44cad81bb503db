"""The bodies of the verbs on a machine: each with why, and with the approval that it rests on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from edge.api.fields import (
    WHOLE,
    Body,
    Int32,
    Int64,
    Labels,
    Line,
    Reason,
    Ref,
    example,
)
from edge.api.images import Architecture
from models import actions
from models.kinds import Kind
from models.remote_commands import LIMIT_S, MOST_S

_APPROVAL: Final = "018f6f48-6172-7384-8596-a70819304152"
_ISO: Final = "https://images.example/rescue.iso"
_WEB: Final = r"^https?://[^\x00-\x1f\x7f]*$"
_SITE: Final = "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"


class Ask(Body):
    model_config = ConfigDict(json_schema_extra=example({"reason": "rack 4 is new"}))

    reason: Reason = ""
    approval_id: UUID | None = Field(
        default=None, description="The approval that it rests on, where policy wants one."
    )


class Commission(Ask):
    model_config = ConfigDict(json_schema_extra=example({"inventory": "auto", "reason": ""}))

    inventory: Literal["auto", "bmc", "image"] | None = Field(
        default=None,
        description="Of whom: `bmc` asks its BMC alone; `image` powers it off and on and boots the "
        "inventory image besides, which looks at the hardware and tests it for a moment; `auto` "
        "(the default) does so where it can be done.",
    )


class Provision(Ask):
    model_config = ConfigDict(
        json_schema_extra=example(
            {"imageRef": "debian-12", "profileRef": "base", "networkId": None, "reason": ""}
        )
    )

    image_ref: Ref
    profile_ref: Ref
    network_id: UUID | None = Field(
        default=None, description="Left out: the site's only network for provisioning."
    )


class Reprovision(Ask):
    """What is left out is as the machine has it."""

    model_config = ConfigDict(
        json_schema_extra=example({"imageRef": "debian-13", "approvalId": _APPROVAL, "reason": ""})
    )

    image_ref: Ref | None = None
    profile_ref: Ref | None = None
    network_id: UUID | None = None


class Release(Ask):
    model_config = ConfigDict(
        json_schema_extra=example({"approvalId": _APPROVAL, "reason": "the tenant is gone"})
    )

    wipe: Literal["signatures", "none"] | None = Field(
        default=None,
        description="What is taken from the disks; left out: partition tables and signatures.",
    )
    disks: Literal["all", "root"] | None = Field(
        default=None, description="Of which disks; left out: all that are the machine's own."
    )


class BootSource(Ask):
    model_config = ConfigDict(
        json_schema_extra=example({"bootSource": "pxe", "persistent": False, "reason": ""})
    )

    boot_source: Literal["pxe", "disk", "cd", "http", "bios", "none"]
    persistent: bool = Field(default=False, description="Always, instead of at the next boot.")
    http_boot_uri: Annotated[
        Line | None,
        Field(
            description="What UEFI fetches with bootSource http; left out: what DHCP says.",
            json_schema_extra={"pattern": _WEB},
        ),
    ] = None


def _one_of_two(schema: dict[str, Any]) -> None:
    example({"mediaUrl": _ISO, "bootSource": "virtual-media"})(schema)
    schema["oneOf"] = [
        {
            "required": ["mediaUrl"],
            "properties": {"eject": {"const": False}, "mediaUrl": {"type": "string"}},
        },
        {
            "required": ["eject"],
            "properties": {"eject": {"const": True}, "mediaUrl": {"type": "null"}},
        },
    ]


class BootImage(Ask):
    """Media to insert, or to take out."""

    model_config = ConfigDict(json_schema_extra=_one_of_two)

    media_url: Annotated[
        Line | None,
        Field(
            description="Where the BMC fetches the media: http:// or https://.",
            examples=[_ISO],
            json_schema_extra={"pattern": _WEB},
        ),
    ] = None
    boot_source: Literal["virtual-media"] = "virtual-media"
    eject: bool = Field(default=False, description="Take out what is inserted, and insert nothing.")

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.media_url is None) is not self.eject:
            raise ValueError("want a mediaUrl to insert, or eject: true")
        return self


class RemoteTask(Ask):
    model_config = ConfigDict(
        json_schema_extra=example(
            {"command": "uptime", "approvalId": _APPROVAL, "reason": "see that it is up"}
        )
    )

    command: Annotated[
        Line,
        Field(
            description="A program and its words, as the site's list has them; no shell reads it.",
            examples=["uptime"],
        ),
    ]
    time_limit_s: Annotated[int, Field(ge=1, le=MOST_S), WHOLE] | None = Field(
        default=None, description=f"Seconds that it may take; {LIMIT_S} where nothing is said."
    )


class WantedMachines(Body):
    """How many machines, and what each must have; what a BMC told of a machine wins."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "siteId": _SITE,
                "count": 2,
                "labels": {"role": "worker"},
                "architecture": "x86_64",
                "minMemoryMib": 65536,
                "minDiskBytes": 480103981056,
                "reason": "",
            }
        )
    )

    site_id: UUID
    count: Annotated[int, Field(ge=1, le=500, description="So many, or none."), WHOLE]
    labels: Labels = Field(default_factory=dict)
    architecture: Architecture | None = None
    min_memory_mib: Int32 | None = None
    min_disk_bytes: Annotated[Int64 | None, Field(description="Of the machine's largest disk.")] = (
        None
    )
    reason: Reason = ""


FORMS: Final[Mapping[str, type[Body]]] = MappingProxyType(
    dict.fromkeys(actions.ACTIONS, Ask)
    | {
        Kind.COMMISSION.value: Commission,
        Kind.PROVISION.value: Provision,
        Kind.REPROVISION.value: Reprovision,
        Kind.RELEASE.value: Release,
        Kind.BOOT_SOURCE.value: BootSource,
        Kind.IMAGE.value: BootImage,
        Kind.REMOTE_TASK.value: RemoteTask,
        actions.ALLOCATE: WantedMachines,
    }
)
"""The body of each action, by its name."""

_NO_PARAMETERS: Final = frozenset({"reason", "approval_id"})


def parameters(body: Body) -> dict[str, Any]:
    """Return what *body* asks for, as an approval is bound to it."""
    given = body.model_dump(mode="json", by_alias=True, exclude=set(_NO_PARAMETERS))
    return actions.plain(given)


def schema(form: type[Body]) -> dict[str, Any]:
    """Return the JSON Schema of the parameters that *form* takes."""
    whole = form.model_json_schema(by_alias=True)
    hidden = {"reason", "approvalId"}
    together: dict[str, Any] = {word: whole[word] for word in ("oneOf", "anyOf") if word in whole}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": whole.get("required", []),
        "properties": {n: each for n, each in whole["properties"].items() if n not in hidden},
        **together,
    }
