"""Where a site serves, as its settings say: addresses, and the URL that machines are given."""

import json
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from models.bootnet import BootNetwork, Mode

OFF: Final = "off"
DHCP: Final = "dhcp"
DNS: Final = "dns"
_ANSWERED: Final = frozenset({Mode.FULL, Mode.PROXY})
ANY: Final = "0.0.0.0"  # noqa: S104 - a value to compare with


_NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dhcp_provider": "dhcp_bind_interface",
        "dhcp_bind_addr": "dhcp_bind_interface",
        "dns_provider": "dns_bind_addr",
        "dns_forward": "dns_bind_addr",
    }
)
"""Settings that say nothing without another: who wrote the first down wants the second too."""

_NOT_HERE: Final = frozenset({OFF, "external"})
"""Where the switches stand for a service that need not be served here."""

_SWITCHES: Final[Mapping[str, str]] = MappingProxyType(
    {"dhcp_bind_interface": "dhcp_provider", "dns_bind_addr": "dns_provider"}
)
"""What a service needs, and the setting by which it is off whatever else is written."""


class Unplaced(Exception):
    """The settings do not say where to serve; names the variable to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Addresses that are served on; None where a service is off, as is each that *off* names."""

    netns: str | None
    dhcp_interface: str | None
    dhcp_address: str | None
    tftp_address: str | None
    dns_address: str | None
    boot_address: str
    boot_port: int
    boot_url: str
    off: frozenset[str] = frozenset()

    @property
    def services(self) -> frozenset[str]:
        """The serving processes that run."""
        given = {
            "dhcp": self.dhcp_address,
            "tftp": self.tftp_address,
            "dns": self.dns_address,
            "http": self.boot_url,
            "router": self.dhcp_address,
            "files": self.boot_url,
        }
        return frozenset(name for name, where in given.items() if where) - self.off


def place(
    *,
    netns: str,
    dhcp_interface: str,
    dhcp_address: str,
    tftp_address: str,
    boot_address: str,
    boot_port: int,
    boot_url: str,
    dns_address: str = "",
    off: frozenset[str] = frozenset(),
) -> Place:
    """Return where to serve; empty strings are what was not set.  Raises Unplaced.

    A service that is *off* leaves its interface to the others.
    """
    if dhcp_interface and not dhcp_address:
        dhcp_address = first_address(dhcp_interface, netns)
    serving = dhcp_address if boot_address == ANY else boot_address
    if not (boot_url or serving):
        raise Unplaced(
            "Machines need a URL of this site: set SPROUT_BOOT_ADVERTISE_URL, or one of "
            "SPROUT_BOOT_BIND_ADDR and SPROUT_DHCP_BIND_INTERFACE."
        )
    return Place(
        netns=netns or None,
        dhcp_interface=dhcp_interface or None,
        dhcp_address=dhcp_address or None if dhcp_interface else None,
        tftp_address=tftp_address or dhcp_address or None,
        dns_address=dns_address or None,
        boot_address=boot_address,
        boot_port=boot_port,
        boot_url=boot_url or f"http://{serving}:{boot_port}",
        off=off,
    )


def demand(written: Collection[str], given: Mapping[str, object]) -> None:
    """Refuse a service that is asked for, and cannot be had for want of a setting.

    *written* are the names of the settings that somebody wrote down, *given* are all by their name.
    Raises Unplaced, which names the variable to set.
    """
    for asked, needed in _NEEDED.items():
        switch = _SWITCHES[needed]
        if asked in written and not given.get(needed) and given.get(switch) not in _NOT_HERE:
            raise _unplaced(needed, f"SPROUT_{asked.upper()} is set")


def demand_for(networks: Iterable[BootNetwork], where: Place) -> None:
    """Refuse a service that a network of the site was given, and that has nowhere to serve.

    Mode reserved asks for nothing: every network has it that nobody has said anything of.
    Raises Unplaced, which names the variable to set.
    """
    own = {where.dhcp_address, where.tftp_address, where.boot_address, _host(where.boot_url)}
    for network in networks:
        if network.mode in _ANSWERED and not (where.dhcp_address or DHCP in where.off):
            raise _unplaced(
                "dhcp_bind_interface", f"network {network.name} has DHCP mode {network.mode}"
            )
        asked = not own.isdisjoint(map(str, network.dns))
        if asked and not (where.dns_address or DNS in where.off):
            raise _unplaced(
                "dns_bind_addr", f"network {network.name} has machines ask this site for names"
            )


def _unplaced(needed: str, why: str) -> Unplaced:
    switch = _SWITCHES[needed].upper()
    return Unplaced(f"SPROUT_{needed.upper()}: needed where {why}; or set SPROUT_{switch}=off.")


def _host(url: str) -> str | None:
    return urlsplit(url).hostname


def first_address(interface: str, netns: str) -> str:
    """Return the first IPv4 address of *interface*, looked up in *netns*.  Raises Unplaced."""
    namespace = ["-netns", netns] if netns else []
    command = ["ip", *namespace, "-json", "-4", "address", "show", "dev", interface]
    try:
        shown = subprocess.run(command, capture_output=True, check=True, timeout=10)
        addresses = [
            info["local"] for link in json.loads(shown.stdout) for info in link["addr_info"]
        ]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as exc:
        raise Unplaced(f"SPROUT_DHCP_BIND_INTERFACE: {interface} is not there: {exc}") from exc
    if not addresses:
        raise Unplaced(f"SPROUT_DHCP_BIND_INTERFACE: {interface} has no IPv4 address.")
    return str(addresses[0])
