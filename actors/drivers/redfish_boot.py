"""Where a machine boots from: set at its BMC, and read back.

Source: DMTF DSP0268, ComputerSystem.Boot.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import sushy

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NoEffect, Refused, Unreachable
from actors.drivers.redfish_line import translated
from actors.drivers.systems import Target

_READ_BACK_S: Final = 10.0
_DISABLED: Final = sushy.BootSourceOverrideEnabled.DISABLED

SOURCES: Final[Mapping[str, sushy.BootSource]] = MappingProxyType(
    {
        "pxe": sushy.BootSource.PXE,
        "disk": sushy.BootSource.HDD,
        "cd": sushy.BootSource.CD,
        "usb": sushy.BootSource.USB,
        "http": sushy.BootSource.UEFI_HTTP,
        "bios": sushy.BootSource.BIOS_SETUP,
        "none": sushy.BootSource.NONE,
    }
)
"""Boot sources in our words."""

_ALIKE: Final = MappingProxyType({"cd": frozenset({sushy.BootSource.USB_CD})})
"""What a BMC may keep instead: sushy asks Supermicro's for their virtual CD by this name."""

_MODES: Final = MappingProxyType(
    {"bios": sushy.BootSourceOverrideMode.LEGACY, "uefi": sushy.BootSourceOverrideMode.UEFI}
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The boot override as a BMC shows it."""

    target: Any = None
    enabled: Any = None
    mode: Any = None
    uri: Any = None

    def is_what(self, source: str, uri: str, *, off: bool) -> bool:
        """Whether it is what was asked for."""
        is_off = self.enabled in {None, _DISABLED}
        if off:
            return is_off
        kept = self.target in {SOURCES[source], *_ALIKE.get(source, ())}
        return kept and not is_off and (not uri or self.uri == uri)


class Boot:
    """The boot override of one system.  Every method raises DriverError."""

    def __init__(
        self,
        system: Any,
        target: Target,
        deadline: Deadline,
        pause: Callable[[float], object],
        doing: Callable[[str], None],
    ) -> None:
        self._system = system
        self._target = target
        self._deadline = deadline
        self._pause = pause
        self._doing = doing

    def set(
        self, source: str, *, persistent: bool, mode: str | None, http_boot_uri: str = ""
    ) -> dict[str, Any]:
        """Override where the machine boots from, for its next boot or for good.

        *source* is of SOURCES, *mode* bios, uefi or None (as it is); *http_boot_uri* is what UEFI
        fetches with http, else DHCP says it.  Returns what reading back shows: {source, enabled,
        mode}, and uri where one was set; *enabled* is the BMC's word, and some keep Once for good.
        """
        target = SOURCES.get(source)
        if target is None or mode not in {None, *_MODES}:
            raise Refused(f"no such boot source or mode: {source}, {mode}")
        if http_boot_uri:
            self._must_take_uri(target)
        kept = _duration(source, persistent=persistent)
        with translated(self._target):
            self._system.set_system_boot_options(
                target=target,
                enabled=kept,
                mode=_MODES.get(mode or ""),
                http_boot_uri=http_boot_uri or None,
            )
        shown = self._read_back(source, http_boot_uri, off=kept is _DISABLED)
        result = {"source": source, "enabled": _value(shown.enabled), "mode": _value(shown.mode)}
        return result | ({"uri": http_boot_uri} if http_boot_uri else {})

    def _must_take_uri(self, target: sushy.BootSource) -> None:
        address = self._target.address
        if target is not sushy.BootSource.UEFI_HTTP:
            raise Refused(f"{address}: a URI is booted from http alone")
        shown = self._system.json
        # Where changes wait in a settings resource, sushy looks there for it.
        if "HttpBootUri" not in (shown.get("Boot") or {}) and "@Redfish.Settings" not in shown:
            raise Refused(f"{address}: this BMC takes no URI to boot from: have DHCP say it")

    def _read_back(self, source: str, uri: str, *, off: bool) -> _Shown:
        until = self._deadline.within(_READ_BACK_S)
        shown = _Shown()
        while True:
            with suppress(Unreachable):
                shown = self._shown()
            if shown.is_what(source, uri, off=off):
                return shown
            if until.left <= 0:
                raise NoEffect(
                    f"{self._target.address}: took the boot source {source}, and keeps "
                    f"{_value(shown.target)}, {_value(shown.enabled)}"
                    + self._target.clean(f", {shown.uri}" if uri else "")
                )
            self._doing(f"waiting for the boot source {source}")
            self._pause(min(0.5, until.left))

    def _shown(self) -> _Shown:
        with translated(self._target):
            self._system.refresh()
            boot = self._system.boot
            return _Shown(boot.target, boot.enabled, boot.mode, boot.http_boot_uri)


def _duration(source: str, *, persistent: bool) -> sushy.BootSourceOverrideEnabled:
    if source == "none":
        return _DISABLED
    if persistent:
        return sushy.BootSourceOverrideEnabled.CONTINUOUS
    return sushy.BootSourceOverrideEnabled.ONCE


def _value(member: Any) -> str | None:
    return None if member is None else str(member.value)
