"""What a machine is told that is given back: the deploy system takes away what lies on its disks.

Source of the manifest's words: deploy/image/initramfs/manifest.sh.
"""

from dataclasses import replace
from typing import Final

from models import names
from models.bootplan import Access, Document, slot
from pxe_stack import render
from pxe_stack.render import Order

WIPING: Final = "taking away what lies on the disks of"


def documents(order: Order, *, disks: str) -> tuple[Document, ...]:
    """Return what *order*'s machine is served; *disks* is all or root.  Raises Invalid.

    Where the root disk is named, nothing is written unless it is seen.
    """
    order = replace(order, doing=WIPING)
    return (
        render.document("script", Access.SCRIPT, render.script(order)),
        render.document("script.grub", Access.SCRIPT, render.grub_script(order)),
        render.document("manifest", Access.SEED, manifest(order, disks=disks)),
    )


def manifest(order: Order, *, disks: str) -> str:
    """Return what the deploy system is to do: a key, one space and a value on each line."""
    lines = {
        "version": "1",
        "task": "wipe",
        "run": slot("run.id"),
        "hostname": names.hostname(order.hostname, field="/hostname"),
        "disks": disks,
        "disk-serial": render.disk_name(order.disk_serial, field="/rootDisk/serial"),
        "disk-wwn": render.disk_name(order.disk_wwn, field="/rootDisk/wwn"),
        "callback": render.CALLBACK_URL,
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items() if value)
