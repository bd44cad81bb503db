"""An intent, made into the documents of a boot plan: the engine is given this function."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from models.answering import Hardware
from models.bootplan import Action, Document
from models.commands import root_password
from models.commands.runs import Intent
from models.installers import Installer
from pxe_stack import installers, render, surveys, wipes


def documents(intent: Intent) -> tuple[Document, ...]:
    """Return what *intent*'s machine is served.  Raises Invalid where a template does not fit."""
    return _OF[intent.action](intent)


def _install(intent: Intent) -> tuple[Document, ...]:
    order = _order(
        intent,
        image_path=intent.image_path,
        iso_path=intent.iso_path,
        older_media=intent.older_media,
        image_sha256=intent.image_sha256,
        image_size=intent.image_bytes,
        cloud_config_template=intent.cloud_config_template,
        ssh_keys=intent.ssh_keys,
        hardware=Hardware.of(intent.hardware),
        pin=intent.pin,
        password_hash=root_password.chosen().reveal(),
        disk_min_bytes=intent.disk["min_bytes"] or intent.image_bytes,
    )
    return installers.of(Installer(intent.installer), order)


def _wipe(intent: Intent) -> tuple[Document, ...]:
    return wipes.documents(_order(intent), disks=intent.disk["disks"])


def _inventory(intent: Intent) -> tuple[Document, ...]:
    return surveys.documents(
        hostname=intent.hostname,
        mac=intent.mac,
        addressing=intent.addressing,
        kernel_path=intent.kernel_path,
        initrd_path=intent.initrd_path,
        kernel_args=intent.kernel_args,
    )


def _order(intent: Intent, **more: Any) -> render.Order:
    """Return what every boot of the deploy system is told, with *more*."""
    return render.Order(
        hostname=intent.hostname,
        mac=intent.mac,
        addressing=intent.addressing,
        kernel_path=intent.kernel_path,
        initrd_path=intent.initrd_path,
        kernel_args=intent.kernel_args,
        disk_serial=intent.disk.get("serial"),
        disk_wwn=intent.disk.get("wwn"),
        instance_id=str(intent.run),
        **more,
    )


_OF: Final[Mapping[Action, Callable[[Intent], tuple[Document, ...]]]] = MappingProxyType(
    {Action.INSTALL: _install, Action.INVENTORY: _inventory, Action.WIPE: _wipe}
)
