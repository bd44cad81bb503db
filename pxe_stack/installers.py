"""What a machine is served, by the installer that its image names: `models.installers`, rendered.

A new installer is a row here and one there.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from models.bootplan import Document
from models.installers import Installer
from pxe_stack import autoinstall, preseed, proxmox, render, seeds
from pxe_stack.render import Order

Documents = Callable[[Order], tuple[Document, ...]]

DOCUMENTS: Final[Mapping[Installer, Documents]] = MappingProxyType(
    {
        Installer.IMAGE: render.documents,
        Installer.AUTOINSTALL: autoinstall.documents,
        Installer.PRESEED: preseed.documents,
        Installer.PROXMOX: proxmox.documents,
    }
)

_BELONGS: Final = MappingProxyType(
    {
        autoinstall.KEY: Installer.AUTOINSTALL,
        preseed.KEY: Installer.PRESEED,
        proxmox.KEY: Installer.PROXMOX,
    }
)
"""Keys of a profile that are for one installer alone."""

_BY_CLOUD_CONFIG: Final = tuple(kind for kind in DOCUMENTS if kind is not Installer.PROXMOX)
"""Installers of what a profile without such a key is for."""


def of(installer: Installer, order: Order) -> tuple[Document, ...]:
    """Return what *order*'s machine is served by *installer*.  Raises Invalid."""
    for key in _belonging(order.cloud_config_template, order):
        if _BELONGS[key] is not installer:
            raise seeds.unfit(f"{key} is for the installer {_BELONGS[key]}, not for {installer}")
    return DOCUMENTS[installer](order)


def check_template(template: str) -> None:
    """Return if *template* is fit for an ordinary machine by each installer that it may be for.

    Which disk is a machine's root disk is not known yet.  Raises Invalid with the line that is
    wrong.
    """
    order = replace(render.ORDINARY, cloud_config_template=template, disk_serial=None)
    keys = _belonging(template, order)
    for installer in {_BELONGS[key] for key in keys} or _BY_CLOUD_CONFIG:
        of(installer, proxmox.ordinary(order) if installer is Installer.PROXMOX else order)


def _belonging(template: str, order: Order) -> set[str]:
    config = seeds.cloud_config(render.filled(template, render.variables(order)))
    return config.keys() & _BELONGS.keys()
