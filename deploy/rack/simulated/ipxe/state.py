"""What one run of iPXE holds, what it needs of its machine, and how it can end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote


class Failure(Exception):
    """A command failed; its text is what `${errno}` holds."""


class Abandoned(Exception):
    """The script ended by a failure."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that iPXE downloaded: *size* in bytes, and all or the first of them."""

    size: int
    data: bytes


class Host(Protocol):
    """The machine that a script runs on."""

    async def fetch(self, url: str, *, text: bool) -> Fetched:
        """Return a file, whole if it is *text*.  Raises Failure."""

    async def post(self, url: str, form: Mapping[str, str]) -> Fetched:
        """Return the answer to a form.  Raises Failure."""

    async def sleep(self, seconds: float) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Left:
    """iPXE ended: the firmware goes on to its next device."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel was started, with an initramfs under each of the names *initrds*."""

    url: str
    arguments: str
    initrds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Another program was started in iPXE's place."""

    data: bytes


Outcome = Left | Kernel | Program


@dataclass(slots=True)
class Image:
    """What lies in memory under a name."""

    name: str
    url: str
    file: Fetched
    arguments: str = ""


@dataclass(slots=True)
class State:
    """*variables* hold what `${…}` says; *at* is the line that comes next.

    *jumped* and *outcome* end the line that set them; *outcome* ends the script.
    """

    host: Host
    variables: dict[str, str]
    depth: int = 0
    images: dict[str, Image] = field(default_factory=dict)
    kernel: str = ""
    form: dict[str, str] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    at: int = 0
    jumped: bool = False
    outcome: Outcome | None = None


def shown(variable: str, variables: Mapping[str, str]) -> str:
    """Return what `${variable}` stands for; of the types, only `uristring` changes how it looks."""
    value = variables.get(name_of(variable), "")
    return quote(value, safe="") if variable.endswith(":uristring") else value


def name_of(variable: str) -> str:
    """`net0/mac:hexhyp` → `mac`: the type says how it is shown."""
    return variable.partition(":")[0].rpartition("/")[2]
