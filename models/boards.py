"""What switches a machine: a BMC, a packet that wakes it, or a person alone."""

from collections.abc import Mapping
from typing import Any, Final

WAKE_ON_LAN: Final = "wake-on-lan"
"""The protocol of a machine that has no BMC, and that a packet switches on; an agent's capability
to send it."""


def wakes(bmc: Mapping[str, Any] | None) -> bool:
    """Whether a packet switches the machine with *bmc* on."""
    return (bmc or {}).get("protocol") == WAKE_ON_LAN


def driven(bmc: Mapping[str, Any] | None) -> bool:
    """Whether a BMC can be asked what to do with the machine's power."""
    return bool(bmc) and not wakes(bmc)
