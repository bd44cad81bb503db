"""What the rack's machines find: a DHCP server on the bridge, and a tiny guest on the disk."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from threading import Thread

import sushy
from sushy.auth import BasicAuth

from actors.drivers import redfish
from actors.drivers.deadline import Deadline
from actors.drivers.reach import Rules
from actors.drivers.systems import Target
from config.secrets import Secret
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
        server.wait(60)


@contextmanager
def images_at(folder: Path) -> Iterator[str]:
    """Serve *folder* by HTTP on loopback; yield its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def put_guest_on(machine: Machine) -> None:
    """Write a disk that boots and says so."""
    disk = machine.place.folder / "disk.raw"
    if machine.hardware.firmware is Firmware.BIOS:
        code = BOOT_SECTOR + ON_DISK.encode() + b"\0"
        with disk.open("r+b") as sectors:
            sectors.write(code.ljust(510, b"\0") + b"\x55\xaa")
        return
    _run("mformat", "-i", disk, "-F", "::")
    _bootable(disk, ON_DISK)


def put_disc_in(file: Path, firmware: Firmware, text: str) -> None:
    """Write the image of a CD that boots and says *text* (El Torito, without emulation)."""
    content = file.with_suffix("")
    content.mkdir()
    boot = content / "boot.img"
    if firmware is Firmware.BIOS:
        boot.write_bytes((BOOT_SECTOR + text.encode() + b"\0").ljust(2048, b"\0"))
        how = ("-b", boot.name, "-no-emul-boot", "-boot-load-size", "4")
    else:
        boot.write_bytes(bytes(2880 * 1024))
        _run("mformat", "-i", boot, "-f", "2880", "::")
        _bootable(boot, text)
        how = ("-e", boot.name, "-no-emul-boot")
    _run("xorriso", "-as", "mkisofs", "-quiet", *how, "-o", file, content)


def _bootable(volume: Path, text: str) -> None:
    """Put on a FAT *volume* what UEFI boots: it says *text*, and switches off."""
    config, program = volume.with_suffix(".cfg"), volume.with_suffix(".efi")
    config.write_text(f"echo {text}\nsleep 1\nhalt\n")
    modules = ("echo", "halt", "sleep")
    _run("grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", config, "-o", program, *modules)
    _run("mmd", "-i", volume, "::/EFI", "::/EFI/BOOT")
    _run("mcopy", "-i", volume, program, "::/EFI/BOOT/BOOTX64.EFI")


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


@contextmanager
def driven(description: dict) -> Iterator[redfish.Machine]:
    """Lead a machine as rack.json describes it by our own driver."""
    bmc = description["bmc"]
    target = Target(
        address=bmc["address"],
        username=bmc["username"],
        password=Secret(Path(bmc["password_file"]).read_text()),
    )
    how = {"deadline": Deadline.after(60), "seen": lambda _: None}
    rules = Rules(networks=(ip_network("127.0.0.0/8"),))
    with redfish.connected(target, rules=rules, **how) as machine:
        yield machine
