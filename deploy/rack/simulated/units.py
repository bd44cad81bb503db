"""What a simulated machine is made of, and where its BMC is: the same for the same name, always."""

from hashlib import sha256
from ipaddress import IPv4Address
from typing import Final
from uuid import UUID, uuid5

from deploy.rack.hardware import Disk, Firmware, Hardware

MOST: Final = 10_000
"""The number is in the last two bytes of the MAC address and of the BMC's address."""

_NAMESPACE: Final = UUID("5a1c3a4e-52f0-5b0e-9d2e-7a7b7c6d5e02")
_FIRST_BMC: Final = IPv4Address("127.65.0.0")
_DISK_BYTES: Final = 64 << 30
_MEMORY_MIB: Final = 16 << 10


def unit(rack: str, number: int, firmware: Firmware = Firmware.UEFI) -> Hardware:
    """Return machine *number* (1…MOST) of the simulated rack called *rack*.  Raises ValueError."""
    if not 1 <= number <= MOST:
        raise ValueError(f"machine number {number} is not within 1…{MOST}")
    identity = f"{rack}/{number}"
    digest = sha256(identity.encode()).hexdigest()
    group = sha256(rack.encode()).hexdigest()
    return Hardware(
        name=f"r{number}",
        firmware=firmware,
        # 02: locally administered, and of no maker.
        mac=f"02:{group[0:2]}:{group[2:4]}:{group[4:6]}:{number >> 8:02x}:{number & 255:02x}",
        serial=f"SIM{digest[0:9].upper()}",
        uuid=uuid5(_NAMESPACE, identity),
        bmc_uuid=uuid5(_NAMESPACE, f"{identity}/bmc"),
        cores=8,
        memory_mib=_MEMORY_MIB,
        disk=Disk(
            serial=f"SIMDISK{digest[9:18].upper()}",
            uuid=uuid5(_NAMESPACE, f"{identity}/disk"),
            size=_DISK_BYTES,
        ),
    )


def bmc_address(number: int) -> str:
    """Return the loopback address of a machine's BMC: each has its own, as on a real network."""
    return str(_FIRST_BMC + number)
