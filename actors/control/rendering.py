"""An intent, made into the documents of a boot plan: the engine is given this function."""

from models.bootplan import Action, Document
from models.commands.runs import Intent
from models.installers import Installer
from pxe_stack import installers, render, surveys


def documents(intent: Intent) -> tuple[Document, ...]:
    """Return what *intent*'s machine is served.  Raises Invalid where a template does not fit."""
    if intent.action is Action.INVENTORY:
        return surveys.documents(
            hostname=intent.hostname,
            mac=intent.mac,
            addressing=intent.addressing,
            kernel_path=intent.kernel_path,
            initrd_path=intent.initrd_path,
            kernel_args=intent.kernel_args,
        )
    return installers.of(
        Installer(intent.installer),
        render.Order(
            hostname=intent.hostname,
            mac=intent.mac,
            addressing=intent.addressing,
            kernel_path=intent.kernel_path,
            initrd_path=intent.initrd_path,
            image_path=intent.image_path,
            iso_path=intent.iso_path,
            older_media=intent.older_media,
            image_sha256=intent.image_sha256,
            image_size=intent.image_bytes,
            kernel_args=intent.kernel_args,
            cloud_config_template=intent.cloud_config_template,
            ssh_keys=intent.ssh_keys,
            disk_serial=intent.disk["serial"],
            disk_wwn=intent.disk["wwn"],
            disk_min_bytes=intent.disk["min_bytes"] or intent.image_bytes,
            instance_id=str(intent.run),
        ),
    )
