"""What the rack's machines find: a DHCP server on the bridge, and a tiny guest on the disk."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sushy
from sushy.auth import BasicAuth

from deploy.rack import bridge, netns
from deploy.rack.hardware import Firmware
from deploy.rack.machine import Machine
from deploy.rack.rack import Rack
from deploy.rack.serial import SerialLog

ON_DISK = "BOOTED-FROM-DISK"
ON_NETWORK = "BOOTED-FROM-NETWORK"

LOADERS = {Firmware.BIOS: "undionly.kpxe", Firmware.UEFI: "snponly.efi"}

# The sleep lets the serial port drain: a reset throws away what is still in it.
SCRIPT = f"#!ipxe\necho {ON_NETWORK}\nsleep 1\nreboot\n"

# Says where it was booted from, then waits for the power button and obeys it.
BOOT_SECTOR = bytes.fromhex(
    "31c0 8ed8"  # xor ax, ax; mov ds, ax
    "be2e7c"  # mov si, text
    "ac 84c0 7406 baf803 ee ebf5"  # each byte until the zero goes to COM1
    "ba0206 b80001 ef"  # PM1 enable: the power button counts
    "ba0006 fb f4 ed f6c401 74f8"  # sti; hlt; PM1 status until the button was pressed
    "ba0406 b80020 ef"  # PM1 control: soft off
    "f4 ebfd"  # hlt for ever
)

GRUB_CONFIG = f"echo {ON_DISK}\nsleep 1\nhalt\n"


@dataclass(frozen=True)
class Dhcp:
    """dnsmasq on the bridge, as the control: it hands out iPXE and its script."""

    log: Path

    def wait_for(self, text: str) -> None:
        SerialLog(self.log).wait_for(text, 30)

    def requests(self) -> int:
        return self.log.read_text().count("DHCPDISCOVER")


@contextmanager
def dhcp_on(rack: Rack, folder: Path) -> Iterator[Dhcp]:
    loader = LOADERS[rack.firmware]
    folder.mkdir()
    (folder / "script.ipxe").write_text(SCRIPT)
    (folder / loader).write_bytes(Path("/usr/lib/ipxe", loader).read_bytes())
    words = [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file"),
        *("--port=0", "--no-ping", "--log-dhcp", f"--log-facility={folder / 'log'}"),
        *(f"--interface={bridge.NAME}", "--bind-interfaces", "--leasefile-ro"),
        *("--dhcp-range=10.77.0.100,10.77.0.200", "--enable-tftp", f"--tftp-root={folder}"),
        *("--dhcp-match=set:ipxe,175", f"--dhcp-boot=tag:!ipxe,{loader}"),
        "--dhcp-boot=tag:ipxe,script.ipxe",
    ]
    server = subprocess.Popen(netns.command(rack.namespace, *words))
    try:
        yield Dhcp(folder / "log")
    finally:
        server.terminate()
        server.wait(10)


def put_guest_on(machine: Machine) -> None:
    """Write a disk that boots and says so."""
    disk = machine.place.folder / "disk.raw"
    if machine.hardware.firmware is Firmware.BIOS:
        code = BOOT_SECTOR + ON_DISK.encode() + b"\0"
        with disk.open("r+b") as sectors:
            sectors.write(code.ljust(510, b"\0") + b"\x55\xaa")
        return
    config, program = disk.with_name("grub.cfg"), disk.with_name("grub.efi")
    config.write_text(GRUB_CONFIG)
    modules = ("echo", "halt", "sleep")
    _run("grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", config, "-o", program, *modules)
    _run("mformat", "-i", disk, "-F", "::")
    _run("mmd", "-i", disk, "::/EFI", "::/EFI/BOOT")
    _run("mcopy", "-i", disk, program, "::/EFI/BOOT/BOOTX64.EFI")


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


@contextmanager
def bmc_of(description: dict) -> Iterator[sushy.resources.system.system.System]:
    """Return sushy's system for a machine as rack.json describes it."""
    bmc = description["bmc"]
    auth = BasicAuth(bmc["username"], Path(bmc["password_file"]).read_text())
    root = sushy.Sushy(bmc["address"], auth=auth)
    try:
        yield root.get_system(bmc["system"])
    finally:
        root._conn._session.close()
