"""Server types: what hardware a host of a kind has, from a YAML file that is followed.

    minisforum-ms-01:
      display_name: Minisforum MS-01
      boot_disk: /dev/nvme0n1
      management_nic: enp2s0
      gpu: false
      wake_on_lan: true
      answer: |
        [disk-setup]
        filesystem = "xfs"

`answer` is in the installer's own language; of what it says, it wins over a host's profile.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from config.policy import BadFile, Followed

MOST: Final = 1000
_KEY: Final = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"


class ServerType(BaseModel):
    """One kind of server.  *boot_disk* as /dev/nvme0n1 or nvme0n1, *management_nic* as enp2s0."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    display_name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\r\n]+$")]
    boot_disk: Annotated[str, Field(pattern=r"^(/dev/)?[A-Za-z0-9._:/-]{1,64}$")]
    management_nic: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{1,14}$")]
    gpu: bool = False
    wake_on_lan: bool = False
    answer: Annotated[str, Field(max_length=65_536)] = ""


_TYPES: Final = TypeAdapter(
    Annotated[
        dict[Annotated[str, Field(pattern=_KEY)], ServerType], Field(min_length=1, max_length=MOST)
    ]
)


def parsed(document: Any) -> Mapping[str, ServerType]:
    """Return the server types by key.  Raises BadFile, which names each place that is wrong."""
    try:
        return MappingProxyType(_TYPES.validate_python(document))
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_input=False)
        said = (f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in faults)
        raise BadFile("; ".join(said)) from None


def followed(path: Path) -> Followed[Mapping[str, ServerType]]:
    """Return what follows the file at *path*; a bad one leaves the last good one in force."""
    return Followed(path, parsed)
