"""Server types: what hardware a host of a kind has, from a YAML file that is followed.

    minisforum-ms-01:
      display_name: Minisforum MS-01
      boot_disk: /dev/nvme0n1
      management_nic: enp2s0
      gpu: false
      wake_on_lan: true
      boot: overlay
      answer: |
        [disk-setup]
        filesystem = "xfs"

`answer` is in the installer's own language; of what it says, it wins over a host's profile.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from config import faults
from config.faults import Fault, Place
from config.policy import BadFile, Followed

log = structlog.get_logger()

MOST: Final = 1000
_KEY: Final = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"


class ServerType(BaseModel):
    """One kind of server.  *boot_disk* as /dev/nvme0n1 or nvme0n1, *management_nic* as enp2s0."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    display_name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\r\n]+$")] = (
        Field(description="For people, such as Minisforum MS-01.")
    )
    boot_disk: Annotated[str, Field(pattern=r"^(/dev/)?[A-Za-z0-9._:/-]{1,64}$")] = Field(
        description="The disk to install to, such as /dev/nvme0n1."
    )
    management_nic: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{1,14}$")] = Field(
        description="The network card that it is managed by, such as enp2s0."
    )
    gpu: bool = Field(default=False, description="Whether it has a graphics processor.")
    wake_on_lan: bool = Field(default=False, description="Whether a packet switches it on.")
    boot: Literal["iso", "overlay"] = Field(
        default="iso",
        description="Either iso, loaded beside the initramfs, or overlay: Linux fetches the ISO,"
        " where the firmware cannot carry that much.",
    )
    answer: Annotated[str, Field(max_length=65_536)] = Field(
        default="", description="More of the installer's answer file, in TOML."
    )

    def stated(self) -> dict[str, str]:
        """Return what counts for an installation, by key."""
        return {
            "boot_disk": self.boot_disk,
            "management_nic": self.management_nic,
            "boot": self.boot,
            "answer": self.answer,
        }


_TYPES: Final = TypeAdapter(
    Annotated[
        dict[Annotated[str, Field(pattern=_KEY)], ServerType], Field(min_length=1, max_length=MOST)
    ]
)


def errors(document: Any) -> list[ErrorDetails]:
    """Return what is wrong in *document*, as `config.policy.read` returned it."""
    try:
        _TYPES.validate_python(document)
    except ValidationError as exc:
        return exc.errors(include_url=False, include_input=False, include_context=False)
    return []


def parsed(document: Any) -> Mapping[str, ServerType]:
    """Return the server types by key.  Raises BadFile, which names each place that is wrong."""
    if found := errors(document):
        said = (f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in found)
        raise BadFile("; ".join(said))
    return MappingProxyType(_TYPES.validate_python(document))


def found(document: Any, path: Path) -> list[Fault]:
    """Return what is wrong in *document*, which was read from *path*."""
    return faults.told(errors(document), faults.lines(path), _wants)


def _wants(place: Place) -> tuple[str, Sequence[str]]:
    if len(place) == 1:
        return "A server type is called as ms-01 is: small letters, digits, dots, hyphens.", ()
    field = ServerType.model_fields.get(str(place[1])) if place else None
    return ("" if field is None else field.description or ""), tuple(ServerType.model_fields)


class _File(Followed[Mapping[str, ServerType]]):
    def say_read(self) -> None:
        log.info("server-types.read", file=str(self.path))

    def say_refused(self, why: str, *, kept: bool) -> None:
        log.error("server-types.refused", why=why, kept=kept)


def followed(path: Path) -> Followed[Mapping[str, ServerType]]:
    """Return what follows the file at *path*; a bad one leaves the last good one in force."""
    return _File(path, parsed)
