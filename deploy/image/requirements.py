"""What a machine needs to build the image, and the words for what it lacks."""

import os
import shutil
from collections.abc import Callable
from typing import Final

TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "grub-mkimage": "grub-common",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
"""Program → the Debian package that brings it."""

_APART: Final = ("apt-get", "dpkg-deb")


def missing(
    which: Callable[[str], str | None] = shutil.which,
    uid: int | None = None,
    *,
    disk_image: bool = True,
) -> str:
    """Return one sentence about what this machine lacks, or nothing.

    Without a *disk_image* little is needed: packages are taken apart and nothing more.
    """
    tools = TOOLS if disk_image else {tool: TOOLS[tool] for tool in _APART}
    packages = sorted({package for tool, package in tools.items() if which(tool) is None})
    wishes = []
    if packages:
        wishes.append(f"install what is missing: apt-get install {' '.join(packages)}")
    if disk_image and (os.geteuid() if uid is None else uid) != 0:
        wishes.append("run it as root: mmdebstrap makes the image's file system with its owners")
    return "; ".join(wishes)
