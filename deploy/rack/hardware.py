"""What a machine of the rack is made of: the same for the same rack name and number, always."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

MOST_MACHINES: Final = 200
"""The number is the last byte of the MAC address, and must leave room for the gateway."""

_NAMESPACE: Final = UUID("5a1c3a4e-52f0-5b0e-9d2e-7a7b7c6d5e01")


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class Card(StrEnum):
    """The network card, by QEMU's name of it."""

    VIRTIO = "virtio-net-pci"
    E1000E = "e1000e"


@dataclass(frozen=True, slots=True)
class Disk:
    serial: str
    uuid: UUID
    size: int
    """Bytes."""

    @property
    def wwn(self) -> str:
        """The name that Linux gives it in /sys/block/nvme0n1/wwid."""
        return f"uuid.{self.uuid}"


@dataclass(frozen=True, slots=True)
class Hardware:
    name: str
    firmware: Firmware
    mac: str
    serial: str
    uuid: UUID
    bmc_uuid: UUID
    cores: int
    memory_mib: int
    disk: Disk
    secure_boot: bool = False
    """Whether UEFI starts only what Microsoft's keys, or shim's, have signed."""
    card: Card = Card.VIRTIO


def build(
    rack: str,
    number: int,
    *,
    firmware: Firmware,
    memory_mib: int,
    disk_bytes: int,
    cores: int = 1,
    secure_boot: bool = False,
    card: Card = Card.VIRTIO,
) -> Hardware:
    """Return machine *number* (1…MOST_MACHINES) of the rack called *rack*."""
    if not 1 <= number <= MOST_MACHINES:
        raise ValueError(f"machine number {number} is not within 1…{MOST_MACHINES}")
    identity = f"{rack}/{number}"
    digest = sha256(identity.encode()).hexdigest()
    group = sha256(rack.encode()).hexdigest()
    return Hardware(
        name=f"r{number}",
        firmware=firmware,
        # 52:54:00 is the locally administered prefix that QEMU uses.
        mac=f"52:54:00:{group[0:2]}:{group[2:4]}:{number:02x}",
        serial=f"RACK{digest[0:8].upper()}",
        uuid=uuid5(_NAMESPACE, identity),
        bmc_uuid=uuid5(_NAMESPACE, f"{identity}/bmc"),
        cores=cores,
        memory_mib=memory_mib,
        disk=Disk(
            serial=f"DISK{digest[8:16].upper()}",
            uuid=uuid5(_NAMESPACE, f"{identity}/disk"),
            size=disk_bytes,
        ),
        secure_boot=secure_boot,
        card=card,
    )
