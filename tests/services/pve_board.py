"""The hardware of a host of Proxmox VE, and what its installer says of it.

Source: specification of provisioning, §2.8.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

_BOARDS = UUID("5e0a9a52-6d5f-4f0c-8a0e-2f1c7d6b3a11")
KEYS = {
    "ecdsa": (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKIShRnBASUQ"
        "tX1vYrk4IyfChEq0rjD7912nH9Hfn9JUiOKqRE2daJt9JoRSr5JD2w3HtlTbkN7nJnXTJ5rIFC0= root@pv"
        "e"
    ),
    "ed25519": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDd9x3SoIOR8vEO+20Ppls6C1RauZq4t4sLrSZFUABa root@pve"
    ),
    "rsa": (
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyrh3v32E5giSBrbjp3336fVG7M3AzXS+6tIJlSogyASGM"
        "TiDeksFhTKCdz0YwhZCnsDiAXOZkEyq8lZMkU0dWAT0zIHiW0vtWn8Vi+5Xtgff4hLGdatKYir/OLieotRI3"
        "YM4khB2oDuqaZ25jT/cuYvCJOLnGtWyGnGbOey7zFqzeYIlhD58XyPrc9LLwj5p8zO7+w3r3u3qbb1ZeA6cV"
        "raL+iz4haIT/Pfy6EN2O/TfGkFwj+scykhs0OcfIpxPqFYWAxVsJLg8beGd1jV3RxLa8bNXo3kjcWub9ggq5"
        "Vuiroz8v/8+kdb/0MXsZoFKdBsTf/GvjEXUmAgRC8WwH root@pve"
    ),
}
"""Host keys of nobody's; their private halves are thrown away."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A host's hardware; *cidr* is what its management card has once it is installed.

    *host_keys* are those of its SSH server by kind, as its installation makes them.
    """

    macs: tuple[str, ...]
    serial: str = "SN-7"
    cidr: str = ""
    release: str = "9.1.1"
    host_keys: Mapping[str, str] = field(default_factory=lambda: dict(KEYS))

    @property
    def uuid(self) -> str:
        return str(uuid5(_BOARDS, self.serial))

    @property
    def dmi(self) -> dict[str, Any]:
        return {
            "system": {"serial": self.serial, "sku": "", "uuid": self.uuid, "name": "MS-01"},
            "baseboard": {"asset_tag": "", "serial": f"B-{self.serial}", "name": "X"},
            "chassis": {"serial": f"C-{self.serial}", "sku": "", "asset_tag": ""},
        }

    def asks(self) -> dict[str, Any]:
        """Return the body of its answer request, schema 1.0."""
        return {
            "$schema": {"version": "1.0"},
            "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
            "iso": {"release": self.release.rpartition(".")[0], "isorelease": "1"},
            "dmi": self.dmi,
            "network_interfaces": [
                {"link": f"enp{number + 2}s0", "mac": mac} for number, mac in enumerate(self.macs)
            ],
        }

    def installed(self, answer: Mapping[str, Any], *, token: str = "") -> dict[str, Any]:
        """Return the body of its webhook, schema 1.2."""
        general = answer["global"]
        disk = {"ID_SERIAL_SHORT": "S1", "ID_MODEL": "NVMe", "DEVTYPE": "disk"}
        return {
            "$schema": {"version": "1.2"},
            "debian-version": "13.1",
            "product": {"fullname": "Proxmox VE", "short": "pve", "version": self.release},
            "iso": {"release": self.release.rpartition(".")[0], "isorelease": "1"},
            "kernel-version": {"release": "6.14.8-2-pve", "version": "#1 SMP", "machine": "x86_64"},
            "boot-info": {"mode": "efi", "secureboot": False},
            "cpu-info": {"cpus": 20, "cores": 14, "sockets": 1, "hvm": True, "model": "i9"},
            "dmi": self.dmi,
            "filesystem": answer["disk-setup"]["filesystem"],
            "fqdn": general["fqdn"] if isinstance(general["fqdn"], str) else "",
            "machine-id": UUID(self.uuid).hex,
            "disks": [{"size": 1 << 40, "is-bootdisk": True, "udev-properties": disk}],
            "network-interfaces": self._cards(),
            "ssh-public-host-keys": dict(self.host_keys),
            "reboot-mode": general.get("reboot-mode", "reboot"),
            **({"token": token} if token else {}),
        }

    def _cards(self) -> list[dict[str, Any]]:
        managed = {"address": self.cidr, "is-management": True} if self.cidr else {}
        return [
            {
                "name": f"nic{number}",
                "mac": mac,
                "is-pinned": True,
                "udev-properties": {"ID_NET_NAME_PATH": f"enp{number + 2}s0"},
                **({} if number else managed),
            }
            for number, mac in enumerate(self.macs)
        ]
