"""One protocol for all BMCs: which driver speaks what, and what each of them can be asked."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from shutil import which
from types import MappingProxyType
from typing import Any, Final, Protocol

from actors.drivers.errors import Refused
from actors.drivers.systems import Target

_DRIVERS: Final[Mapping[str, str]] = MappingProxyType(
    {"redfish": "actors.drivers.redfish", "ipmi": "actors.drivers.ipmi"}
)
"""Loaded when first used: sushy is heavy, and some agents never need it."""

_TOOLS: Final[Mapping[str, str]] = MappingProxyType({"ipmi": "ipmitool"})
"""What must be installed beside us for a protocol to be spoken."""


class Machine(Protocol):
    """The verbs on one machine, over one login.  Every method raises DriverError."""

    @property
    def record(self) -> dict[str, Any]:
        """What the last inventory was made of, without the password."""
        ...

    def power(self) -> str: ...
    def ensure_power(self, *, on: bool, force: bool = False) -> dict[str, Any]: ...
    def reboot(self, *, force: bool = False) -> dict[str, Any]: ...
    def inventory(self) -> dict[str, Any]: ...
    def insert_media(self, url: str) -> dict[str, Any]: ...
    def eject_media(self) -> dict[str, Any]: ...
    def set_boot_source(
        self,
        source: str,
        *,
        persistent: bool = False,
        mode: str | None = None,
        http_boot_uri: str = "",
    ) -> dict[str, Any]: ...


MEDIA: Final = "virtual-media"
"""The capability of whoever can have a BMC show an image as a CD."""


def capabilities() -> tuple[str, ...]:
    """Return what can be done at BMCs here: the protocols that are spoken, and media."""
    spoken = (each for each in _DRIVERS if each not in _TOOLS or which(_TOOLS[each]))
    return (*spoken, MEDIA)


def connected(protocol: str, target: Target, **how: Any) -> AbstractContextManager[Machine]:
    """Lead the machine at *target* for a block, by *protocol*.

    *how* is as of `redfish.connected`.  Raises DriverError.
    """
    driver = _DRIVERS.get(protocol)
    if driver is None:
        raise Refused(f"this agent does not speak {protocol}: update it")
    led: AbstractContextManager[Machine] = import_module(driver).connected(target, **how)
    return led
