"""What documents of different installers are made of."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from models import names
from models.bootplan import Access, Document
from models.installers import Installer
from pxe_stack import kernel_args, render, seeds
from pxe_stack import scripts as constants
from pxe_stack.kernel_args import Part, Word
from pxe_stack.render import ByUefi, Order

STAND_IN: Final = "/dev/sprout-root-disk"
"""What stands for the disk until the installer's first commands find it; none is called so."""


def scripts(
    order: Order, arguments: Callable[[Order], Sequence[Word]]
) -> tuple[Document, Document]:
    """Return the boot scripts, for iPXE and for GRUB, that start the kernel with *arguments*."""
    words = arguments(order)
    return started(order, (Part("initrd", "initrd.img"), *words), words)


def started(
    order: Order,
    ipxe: Iterable[Word],
    grub: Iterable[Word],
    *,
    beside: str = "",
    by_uefi: ByUefi | None = None,
) -> tuple[Document, Document]:
    """Return the boot scripts that start the kernel with these words, as their loader has it."""
    words = kernel_args.line(ipxe)
    by_ipxe = render.ipxe_script(order, words, beside=beside, by_uefi=by_uefi)
    line = kernel_args.line(grub, grub=True)
    by_grub = render.grub_script(order, line, beside=beside)
    return (
        render.document("script", Access.SCRIPT, by_ipxe),
        render.document("script.grub", Access.SCRIPT, by_grub),
    )


def seed(order: Order, user_data: str, *, vendor_data: bool = False) -> tuple[Document, ...]:
    """Return what cloud-init asks for below a NoCloud seed."""
    bodies = {
        "meta-data": render.meta_data(order),
        "user-data": user_data,
        **({"vendor-data": render.VENDOR_DATA} if vendor_data else {}),
        "network-config": render.network_config(order),
    }
    return tuple(
        render.document(f"seed/{name}", Access.SEED, body) for name, body in bodies.items()
    )


def bootif(order: Order) -> str:
    """Return the MAC that was booted from, as PXELINUX writes it."""
    return f"01-{names.mac(order.mac, field='/mac').replace(':', '-')}"


def system(order: Order, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the installed system's cloud-config: *config* with what every machine gets."""
    return seeds.user_data(
        config,
        hostname=order.hostname,
        fqdn=order.fqdn,
        ssh_keys=order.ssh_keys,
        home_url=f"{render.CALLBACK_URL}phone-home",
    )


def installer(order: Order, name: Installer) -> str:
    """Return the script by which the installer called *name* finds its disk and reports."""
    return render.ours(
        "installers/installer.sh",
        callback=render.CALLBACK_URL,
        installer=name.value,
        serial=_shell(order.disk_serial, field="/rootDisk/serial"),
        wwn=_shell(order.disk_wwn, field="/rootDisk/wwn"),
        min_bytes=str(order.disk_min_bytes),
        stand_in=STAND_IN,
        disks=constants.template("installers/disks.sh"),
    )


def _shell(value: str | None, *, field: str) -> str:
    return shlex.quote(render.disk_name(value, field=field))
