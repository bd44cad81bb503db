"""The switch that the machines are plugged into: a bridge and one tap each, in one namespace."""

from collections.abc import Iterable
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from deploy.rack import netns

NAME: Final = "br0"
_DUPLICATE_ADDRESS_DETECTION: Final = Path("/proc/sys/net/ipv6/conf/default/accept_dad")


def raise_in(namespace: str, address: IPv4Interface, taps: Iterable[str]) -> None:
    """Make the bridge with its *address* and *taps* in the namespace, all of them up."""
    netns.inside(namespace, _use_link_local_addresses_at_once)
    netns.ip("-n", namespace, "-batch", "-", script="\n".join(_commands(address, taps)) + "\n")


def _commands(address: IPv4Interface, taps: Iterable[str]) -> list[str]:
    return [
        "link set lo up",
        f"link add {NAME} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"addr add {address} broadcast + dev {NAME}",
        f"link set {NAME} up",
        *(line for tap in taps for line in _plugged_in(tap)),
    ]


def _plugged_in(tap: str) -> list[str]:
    return [f"tuntap add dev {tap} mode tap", f"link set {tap} master {NAME} up"]


def _use_link_local_addresses_at_once() -> None:
    if _DUPLICATE_ADDRESS_DETECTION.exists():
        _DUPLICATE_ADDRESS_DETECTION.write_text("0")
