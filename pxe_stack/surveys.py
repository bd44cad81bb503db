"""What a machine is served that is to take inventory of itself: no seed, and nothing of a disk."""

from typing import Final

from models import names
from models.bootplan import Access, Addressing, Document, slot
from pxe_stack import render

DOING: Final = "taking inventory of"
"""What the machine's screen says before its host name."""


def documents(
    *,
    hostname: str,
    mac: str,
    addressing: Addressing,
    kernel_path: str,
    initrd_path: str,
    kernel_args: tuple[str, ...] = (),
) -> tuple[Document, ...]:
    """Return the boot scripts and the manifest.  Raises Invalid for what does not fit in them."""
    order = render.Order(
        hostname=hostname,
        mac=mac,
        addressing=addressing,
        kernel_path=kernel_path,
        initrd_path=initrd_path,
        kernel_args=kernel_args,
        image_path="",
        image_sha256="",
        image_size=0,
        instance_id="",
        doing=DOING,
    )
    made = {
        "script": (Access.SCRIPT, render.script(order)),
        "script.grub": (Access.SCRIPT, render.grub_script(order)),
        "manifest": (Access.SEED, manifest(hostname)),
    }
    return tuple(
        Document(name=name, access=access, media_type="text/plain", body=body)
        for name, (access, body) in made.items()
    )


def manifest(hostname: str) -> str:
    """Return what the inventory system is to do: a key, one space and a value on each line."""
    lines = {
        "version": "1",
        "task": "inventory",
        "run": slot("run.id"),
        "hostname": names.hostname(hostname, field="/hostname"),
        "tests": "yes",
        "callback": render.CALLBACK_URL,
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())
