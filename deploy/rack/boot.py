"""Which device a machine tries first, and what is left of an override afterwards.

Source: DMTF DSP0268, ComputerSystem.Boot.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from deploy.rack.hardware import Firmware


class Target(StrEnum):
    NONE = "None"
    PXE = "Pxe"
    HDD = "Hdd"
    CD = "Cd"
    UEFI_HTTP = "UefiHttp"


class Enabled(StrEnum):
    DISABLED = "Disabled"
    ONCE = "Once"
    CONTINUOUS = "Continuous"


class First(StrEnum):
    """The device that the firmware tries first; the others come after it."""

    DISK = "disk"
    CD = "cd"
    NETWORK = "network"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Override:
    target: Target = Target.NONE
    enabled: Enabled = Enabled.DISABLED


NO_OVERRIDE: Final = Override()


class Mode(StrEnum):
    """BootSourceOverrideMode."""

    LEGACY = "Legacy"
    UEFI = "UEFI"


TARGETS: Final = MappingProxyType(
    {
        Firmware.BIOS: (Target.NONE, Target.PXE, Target.HDD),
        Firmware.UEFI: (Target.NONE, Target.PXE, Target.HDD, Target.UEFI_HTTP),
    }
)
"""What each firmware can be told to boot, besides a virtual CD."""

MODES: Final = MappingProxyType({Firmware.BIOS: Mode.LEGACY, Firmware.UEFI: Mode.UEFI})
"""A machine of the rack has one firmware and cannot change it."""

_FIRST: Final = MappingProxyType(
    {
        Target.NONE: First.DISK,
        Target.HDD: First.DISK,
        Target.CD: First.CD,
        Target.PXE: First.NETWORK,
        Target.UEFI_HTTP: First.HTTP,
    }
)


def targets(firmware: Firmware, *, disc: bool) -> tuple[Target, ...]:
    """Return what a machine of *firmware*, with a virtual CD or without, can be told to boot."""
    return (*TARGETS[firmware], Target.CD) if disc else TARGETS[firmware]


def changed(before: Override, *, target: Target | None, enabled: Enabled | None) -> Override:
    """Return *before* with what a client set.  No target and no override are the same thing."""
    after = Override(target or before.target, enabled or before.enabled)
    if Target.NONE in (target, after.target) or enabled is Enabled.DISABLED:
        return NO_OVERRIDE
    return after


def consume(override: Override) -> tuple[First, Override]:
    """Return what this power-on or reset boots first, and the override that stays for the next."""
    match override.enabled:
        case Enabled.DISABLED:
            return First.DISK, override
        case Enabled.ONCE:
            return _FIRST[override.target], NO_OVERRIDE
        case Enabled.CONTINUOUS:
            return _FIRST[override.target], override
