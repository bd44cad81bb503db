"""Images and profiles as forms have them: which fields, and which views of /v1 they are for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from edge.api import images, profiles
from edge.pages.forms import Field
from edge.pages.frame import kebab
from models import lists, queries
from models.discoveries import ARCHITECTURES
from models.installers import INSTALLERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A kind of record: its views of /v1, and its fields; those of *fixed* stay as entered."""

    kind: str
    what: str
    filter: Any
    found: Callable[..., Any]
    one: Callable[[str], Any]
    new: Any
    changed: Any
    ref: Any
    views: Any
    fields: Sequence[Field]
    fixed: frozenset[str]
    columns: Mapping[str, str]

    @property
    def plural(self) -> str:
        """Return what several are called, in URLs too."""
        return f"{self.kind}s"


_REF: Final = (
    Field(
        pointer="/ref", label="Reference", required=True, hint="Others name it by this. It stays."
    ),
    Field(pointer="/name", label="Name", required=True, hint="For people."),
)

_IMAGE: Final = (
    *_REF,
    Field(
        pointer="/architecture",
        label="Architecture",
        kind="select",
        options=[(each, each) for each in ARCHITECTURES],
    ),
    Field(
        pointer="/installer",
        label="Installed by",
        kind="select",
        options=[(name.value, f"{name}: {row.called}") for name, row in INSTALLERS.items()],
    ),
    Field(pointer="/artifactRef", label="Artifact", kind="select", hint="Where its files lie."),
    Field(pointer="/kernelPath", label="Kernel", required=True, hint="Below its prefix."),
    Field(pointer="/initrdPath", label="Initramfs", required=True),
    Field(pointer="/imagePath", label="Raw disk image"),
    Field(pointer="/isoPath", label="ISO", hint="For autoinstall."),
    Field(pointer="/imageBytes", label="Bytes of the disk image or ISO", kind="number"),
    Field(
        pointer="/checksums",
        label="Checksums",
        kind="sums",
        hint="As sha256sum prints them: the SHA-256, then the path, a line each.",
    ),
    Field(pointer="/kernelArgs", label="Arguments of the kernel", kind="lines", hint="One a line."),
)
_PROFILE: Final = (
    *_REF,
    Field(
        pointer="/cloudConfigTemplate",
        label="Template",
        kind="area",
        value="#cloud-config\nhostname: {{ hostname }}\n",
        required=True,
        hint="#cloud-config with placeholders such as {{ hostname }}. No secrets: it is shown.",
    ),
    Field(
        pointer="/sshKeys",
        label="SSH keys that are let in",
        kind="lines",
        hint="Public, one a line.",
    ),
)

SHELVES: Final = (
    Shelf(
        kind="image",
        what="An operating system: files under an artifact, each with its SHA-256. "
        "Installations that run keep what they began with.",
        filter=images.ImageFilter,
        found=lists.images,
        one=queries.image,
        new=images.NewImage,
        changed=images.ChangedImage,
        ref=images.ImageRef,
        views=images,
        fields=_IMAGE,
        fixed=frozenset({"/ref", "/architecture", "/installer", "/artifactRef"}),
        columns=MappingProxyType(
            {
                "architecture": "Architecture",
                "installer": "Installed by",
                "artifact_ref": "Artifact",
            }
        ),
    ),
    Shelf(
        kind="profile",
        what="What an installed system is told at its first boot.",
        filter=profiles.ProfileFilter,
        found=lists.profiles,
        one=queries.profile,
        new=profiles.NewProfile,
        changed=profiles.ChangedProfile,
        ref=profiles.ProfileRef,
        views=profiles,
        fields=_PROFILE,
        fixed=frozenset({"/ref"}),
        columns=MappingProxyType({}),
    ),
)


def value(view: Any, field: Field) -> str:
    """Return what a record has in the place of *field*, as a person writes it there."""
    found = getattr(view, _SNAKE[field.pointer])
    match field.kind:
        case "lines":
            return "\n".join(found)
        case "sums":
            return "\n".join(f"{sha256}  {path}" for path, sha256 in sorted(found.items()))
        case "number":
            return str(found or "")
        case _:
            return str(found)


def _snake(pointer: str) -> str:
    return kebab(pointer[1:]).replace("-", "_")


_SNAKE: Final = {each.pointer: _snake(each.pointer) for each in (*_IMAGE, *_PROFILE)}
