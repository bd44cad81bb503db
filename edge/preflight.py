"""What would not install is refused when it is asked for: its documents are rendered once, for
nobody, before a machine is switched on.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import installers as rules
from models import queries
from models.answering import NO_TYPE, Hardware
from models.commands import root_password
from models.commands.hosts import PROFILE, Choice
from models.errors import Invalid, NotFound
from models.installers import Installer
from models.views import ImageView, MachineView
from pxe_stack import installers, proxmox, render

_OF_IMAGE: Final = "/imageRef"
_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {"/cloudConfigTemplate": "/profileRef"}
    | dict.fromkeys(("/kernelPath", "/initrdPath", "/imagePath", "/isoPath"), _OF_IMAGE)
    | {"/kernelArgs": _OF_IMAGE}
)
"""Which field of what is asked leads to the field of a record that is at fault."""


def demand_fit(
    machine_id: UUID,
    image_ref: str | None,
    profile_ref: str | None,
    hardware: Hardware = NO_TYPE,
) -> None:
    """Return if *machine_id* could be served all that installing takes.

    What it has is taken where no reference is given; *hardware* is what its server type says.
    Raises Invalid with the reference at fault, and leaves to the verb what names nothing.
    """
    machine = queries.machine(machine_id)
    try:
        image = queries.image(image_ref or machine.image_ref or "")
        profile = queries.profile(profile_ref or machine.profile_ref or "")
    except NotFound:
        return
    try:
        order = _order(machine, image, profile.cloud_config_template, hardware)
        order = replace(order, ssh_keys=tuple(profile.ssh_keys))
        installers.of(Installer(image.installer), order)
    except Invalid as exc:
        where = f"{image.ref} with the profile {profile.ref}"
        field = _FIELDS.get(exc.field, exc.field)
        raise Invalid(f"image {where}: {exc}", field=field, hint=exc.hint) from exc


def disks(host: MachineView, chosen: Choice) -> str:
    """Return which disks a rebuild of *host* wipes, as its answer would say it.

    Raises Invalid where no answer would come about, and NotFound.
    """
    try:
        template = queries.profile(chosen.profile_ref).cloud_config_template
    except NotFound:
        template = PROFILE
    image = queries.image(chosen.image_ref)
    answer = proxmox.answer(_order(host, image, template, chosen.hardware))
    return _named(answer["disk-setup"])


def _named(setup: Mapping[str, Any]) -> str:
    if "disk-list" in setup:
        return ", ".join(setup["disk-list"])
    how = " and " if setup.get("filter-match") == "all" else " or "
    return f"the disks with {how.join(f'{k}={v}' for k, v in setup['filter'].items())}"


def _order(
    machine: MachineView, image: ImageView, template: str, hardware: Hardware
) -> render.Order:
    paths = ("kernel_path", "initrd_path", "image_path", "iso_path")
    named = {path: getattr(image, path) for path in paths if getattr(image, path)}
    row = rules.INSTALLERS[Installer(image.installer)]
    chosen, found = machine.root_disk or {}, machine.facts
    disk = chosen if row.one_disk else rules.disk(image.installer, chosen, found)
    return replace(
        render.ORDINARY,
        **named,
        hostname=machine.hostname,
        mac=next(
            (each.mac for each in machine.interfaces if each.pxe_enabled), render.ORDINARY.mac
        ),
        older_media=image.older_media,
        kernel_args=tuple(image.kernel_args),
        cloud_config_template=template,
        disk_serial=disk.get("serial"),
        hardware=hardware,
        password_hash=root_password.chosen().reveal(),
        disk_wwn=disk.get("wwn"),
    )
