"""The QEMU command line of a machine.  Paths are relative to the machine's own folder.

`accel=tcg` always: /dev/kvm may open, make a machine and still hang its guest.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.rack.boot import First
from deploy.rack.disc import FILE
from deploy.rack.hardware import Card, Firmware, Hardware

PROGRAM: Final = "qemu-system-x86_64"
OVMF_CODE: Final = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS: Final = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
SECURE_CODE: Final = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
SECURE_VARS: Final = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
BIOS_NIC_ROM: Final = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")
SEABIOS: Final = Path("/usr/share/seabios/bios-256k.bin")

DISK: Final = "disk.raw"
VARS: Final = "vars.fd"
SERIAL_LOG: Final = "serial.log"
CONSOLE: Final = "console.sock"

_NETWORK_STACK_WITHOUT: Final = MappingProxyType(
    {
        First.DISK: ("IPv6PXESupport", "IPv6Support"),
        First.CD: ("IPv6PXESupport", "IPv6Support"),
        First.NETWORK: ("IPv6PXESupport", "IPv6Support"),
        First.HTTP: ("IPv4PXESupport", "IPv6PXESupport", "IPv6Support"),
    }
)
"""What OVMF leaves out: it would try PXE over IPv6 for minutes, and PXE before HTTP."""


_ORDER: Final = MappingProxyType(
    {
        First.DISK: (First.DISK, First.NETWORK, First.CD),
        First.CD: (First.CD, First.DISK, First.NETWORK),
        First.NETWORK: (First.NETWORK, First.DISK, First.CD),
        First.HTTP: (First.NETWORK, First.DISK, First.CD),
    }
)
"""In which order devices are tried, by the first of them."""


def command(
    hardware: Hardware, first: First, *, tap: str, monitor_fd: int, disc: bool = False
) -> list[str]:
    """Return the arguments that start *hardware* with *first* as its first boot device.

    The file descriptor *monitor_fd* is the machine's end of a QMP socket pair.  *disc*: an image
    lies in its virtual CD.
    """
    order = _ORDER[first]
    return [
        PROGRAM,
        *_board(hardware),
        *_firmware(hardware, first),
        *_disk(hardware, index=order.index(First.DISK)),
        *_nic(hardware, tap, index=order.index(First.NETWORK)),
        *(_cd(index=order.index(First.CD)) if disc else ()),
        *_console(),
        *("-chardev", f"socket,id=monitor,fd={monitor_fd}", "-mon", "chardev=monitor,mode=control"),
    ]


def _board(hardware: Hardware) -> list[str]:
    serial, uuid = hardware.serial, hardware.uuid
    return [
        *("-name", hardware.name, "-no-user-config", "-nodefaults", "-display", "none"),
        # Without graphics SeaBIOS and its option ROMs speak to the serial port.
        *_machine(hardware),
        *("-smp", str(hardware.cores), "-m", str(hardware.memory_mib)),
        *("-smbios", f"type=1,manufacturer=Sprout,product=Rack,serial={serial},uuid={uuid}"),
        *("-smbios", f"type=3,manufacturer=Sprout,serial={serial}"),
        *("-uuid", str(uuid), "-rtc", "base=utc", "-device", "virtio-rng-pci"),
        # A reset ends the process too: the next one starts with the boot order then valid.
        *("-action", "reboot=shutdown,shutdown=poweroff"),
    ]


def _machine(hardware: Hardware) -> list[str]:
    if not hardware.secure_boot:
        return ["-machine", "q35,accel=tcg,graphics=off"]
    # Keys are kept where only the firmware's own mode of the processor can write.
    flash = "driver=cfi.pflash01,property=secure,value=on"
    return ["-machine", "q35,accel=tcg,graphics=off,smm=on", "-global", flash]


def _firmware(hardware: Hardware, first: First) -> list[str]:
    if hardware.firmware is Firmware.BIOS:
        return []
    flash = "if=pflash,format=raw"
    code = SECURE_CODE if hardware.secure_boot else OVMF_CODE
    return [
        *("-drive", f"{flash},unit=0,readonly=on,file={code}"),
        *("-drive", f"{flash},unit=1,file={VARS}"),
        *(
            word
            for name in _NETWORK_STACK_WITHOUT[first]
            for word in ("-fw_cfg", f"name=opt/org.tianocore/{name},string=n")
        ),
    ]


def _disk(hardware: Hardware, *, index: int) -> list[str]:
    # The boot index belongs to the controller, and the namespace must have no EUI-64: else the
    # name of the boot device is not one that OVMF and SeaBIOS find (QEMU 7.2).
    disk = hardware.disk
    drive = f"if=none,id=disk,file={DISK},format=raw,cache=unsafe,discard=unmap"
    namespace = f"nvme-ns,drive=disk,bus=nvme,nsid=1,uuid={disk.uuid},eui64-default=off"
    return [
        *("-drive", f"{drive},detect-zeroes=unmap"),
        *("-device", f"nvme,id=nvme,serial={disk.serial},bootindex={index}"),
        *("-device", namespace),
    ]


def _cd(*, index: int) -> list[str]:
    drive = f"if=none,id=disc,media=cdrom,readonly=on,format=raw,file={FILE}"
    return ["-drive", drive, "-device", f"ide-cd,drive=disc,bootindex={index}"]


def _nic(hardware: Hardware, tap: str, *, index: int) -> list[str]:
    # On BIOS the card's ROM is iPXE; OVMF has a driver of its own for virtio alone, and a ROM would
    # hide it.
    native = hardware.firmware is Firmware.UEFI and hardware.card is Card.VIRTIO
    rom = ",romfile=" if native else ""
    card = f"{hardware.card},netdev=net,mac={hardware.mac},bootindex={index}{rom}"
    return ["-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no", "-device", card]


def _console() -> list[str]:
    socket = f"socket,id=console,path={CONSOLE},server=on,wait=off"
    return ["-chardev", f"{socket},logfile={SERIAL_LOG},logappend=on", "-serial", "chardev:console"]
