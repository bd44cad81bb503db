"""Where a site serves, as its settings say: addresses, and the URL that machines are given."""

import json
import subprocess
from dataclasses import dataclass
from typing import Final

ANY: Final = "0.0.0.0"  # noqa: S104 - a value to compare with


class Unplaced(Exception):
    """The settings do not say where to serve; names the variable to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Addresses that are served on; None where a service is off."""

    netns: str | None
    dhcp_interface: str | None
    dhcp_address: str | None
    tftp_address: str | None
    boot_address: str
    boot_port: int
    boot_url: str

    @property
    def services(self) -> frozenset[str]:
        """The serving processes that run."""
        return frozenset(
            name
            for name, on in (("dhcp", self.dhcp_address), ("tftp", self.tftp_address), ("http", 1))
            if on
        )


def place(
    *,
    netns: str,
    dhcp_interface: str,
    dhcp_address: str,
    tftp_address: str,
    boot_address: str,
    boot_port: int,
    boot_url: str,
) -> Place:
    """Return where to serve; empty strings are what was not set.  Raises Unplaced."""
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
        boot_address=boot_address,
        boot_port=boot_port,
        boot_url=boot_url or f"http://{serving}:{boot_port}",
    )


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
