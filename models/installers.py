"""How an operating system comes onto a disk: one row for each installer that an image can name.

What a machine is served by each stands above, in `pxe_stack.installers`, which has the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from models import facts
from models.errors import NotReady
from models.steps import Trait

MIB: Final = 1 << 20

BOOTED: Final[Mapping[str, str]] = MappingProxyType(
    {"kernel": "kernel_path", "initrd": "initrd_path"}
)
"""Columns of what each installer boots, by the file's role in a boot plan."""
MEDIA: Final[Mapping[str, str]] = MappingProxyType({"image": "image_path", "iso": "iso_path"})
"""Columns of what an installer may need besides, by role: of an image, at most one is named."""

_UNTOLD_INITRD: Final = 128 * MIB
_INITRDS: Final = 4
"""An initramfs lies in memory twice when it is started: as it came, and about thrice, unpacked."""


class Installer(StrEnum):
    """Stored: add, never rename."""

    IMAGE = "image"
    AUTOINSTALL = "autoinstall"
    PRESEED = "preseed"
    PROXMOX = "proxmox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """*medium* is the role of the large file, whose size is the image's bytes; None: it needs none.

    *copies* of it lie in the machine's memory beside *own_mib* of the installer itself; None: what
    the installer needs is not judged.  *least_mib* it takes at any rate.  *one_disk*: it writes
    the one that is known of the machine, and else what its answer names.  *told_of_iso*: by its
    kernel's command line.
    """

    called: str
    medium: str | None = None
    copies: int = 0
    own_mib: int | None = None
    least_mib: int = 0
    one_disk: bool = True
    told_of_iso: bool = False
    traits: frozenset[Trait] = frozenset()

    @property
    def files(self) -> dict[str, str]:
        """Columns of all files that it needs, by role."""
        return {**BOOTED, **({self.medium: MEDIA[self.medium]} if self.medium else {})}


_BY_PACKAGES: Final = frozenset({Trait.INSTALLER})

INSTALLERS: Final[Mapping[Installer, Row]] = MappingProxyType(
    {
        Installer.IMAGE: Row(called="a raw disk image", medium="image"),
        # iPXE loads kernel and initramfs into memory; then casper does so with the whole ISO.
        Installer.AUTOINSTALL: Row(
            called="an Ubuntu ISO",
            medium="iso",
            copies=1,
            own_mib=1536,
            told_of_iso=True,
            traits=_BY_PACKAGES,
        ),
        Installer.PRESEED: Row(called="Debian's installer", own_mib=512, traits=_BY_PACKAGES),
        # iPXE loads the ISO into memory, and the kernel unpacks it there into its initramfs, which
        # may take half of it (tmpfs(5)): so two of it, whoever fetches the ISO.
        Installer.PROXMOX: Row(
            called="a Proxmox VE ISO",
            medium="iso",
            copies=2,
            own_mib=1024,
            least_mib=4096,
            one_disk=False,
            traits=frozenset({Trait.PROXMOX}),
        ),
    }
)


def disk(
    installer: str, chosen: Mapping[str, Any] | None, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return {serial, wwn, min_bytes} of the disk to write, as `facts.root_disk` does.

    Raises NotReady where exactly one must be known, and is not.
    """
    try:
        return facts.root_disk(chosen, found)
    except NotReady:
        if INSTALLERS[Installer(installer)].one_disk:
            raise
        return {"serial": "", "wwn": "", "min_bytes": 0}


def memory_mib(installer: str, *, medium_bytes: int, initrd_bytes: int) -> int | None:
    """Return the MiB of memory that installing takes, or None where that is not judged.

    *initrd_bytes* of 0: nobody told, and 128 MiB are taken for it.
    """
    row = INSTALLERS[Installer(installer)]
    if row.own_mib is None:
        return None
    loaded = row.copies * medium_bytes + _INITRDS * (initrd_bytes or _UNTOLD_INITRD)
    return max(row.least_mib, row.own_mib + -(-loaded // MIB))


def demand_memory(ref: str, need_mib: int | None, known_mib: int | None) -> None:
    """Raise NotReady where a machine is known to have less memory than *need_mib*."""
    if need_mib is None or known_mib is None or known_mib >= need_mib:
        return
    raise NotReady(
        f"image {ref} is installed from memory, which takes {need_mib} MiB,"
        f" and the machine has {known_mib} MiB",
        field="/imageRef",
        hint="Choose a smaller image or a disk image, or give the machine more memory and"
        " commission it again.",
    )
