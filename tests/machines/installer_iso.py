"""An installer's ISO that really boots: Debian's kernel, busybox, and drivers as modules.

It is laid out as the vendor's is, and only its init is a stand-in.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import zstandard

from deploy.image import apt, initramfs
from deploy.rack.hardware import Card
from pxe_stack import cpio
from tests.actors.installer_isos import an_iso
from tests.machines import boot_assets
from tests.machines.boot_assets import BUSYBOX

INIT = Path(__file__).with_name("installer_init.sh")
WANTED = ("virtio_pci", "virtio_net", "loop", "isofs")
"""What must be loaded to reach the card, and to mount the ISO."""

LARGE = b"".join(b"%08d proxmox\n" % number for number in range(500_000))
"""Enough of an ISO to be cut off in its middle."""


@dataclass(frozen=True)
class Kernel:
    """*image* as it is booted, and a tree of /lib/modules below *drivers*."""

    image: Path
    drivers: Path


def kernel() -> Kernel:
    """Return Debian's kernel of virtual machines, unpacked once.  Raises apt.Unavailable."""
    package = apt.kernel_package(boot_assets.KINDS[Card.VIRTIO].package)
    kept = boot_assets.kept(f"modules-{package}", lambda scratch: _unpacked(package, scratch))
    return Kernel(kept / "vmlinuz", kept / "drivers")


def _unpacked(package: str, scratch: Path) -> Path:
    whole, finished = scratch / "whole", scratch / "finished"
    apt.unpack([package], whole)
    source = next((whole / "lib/modules").iterdir())
    every = {path.stem.replace("-", "_"): path for path in source.rglob("*.ko")}
    target = finished / "drivers/lib/modules" / source.name
    target.mkdir(parents=True)
    names = initramfs.load_order(WANTED, lambda name: initramfs.depends(every[name].read_bytes()))
    for name in names:
        shutil.copyfile(every[name], target / every[name].name)
    words = [str(BUSYBOX), "depmod", "-b", str(finished / "drivers"), source.name]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    shutil.copyfile(next(whole.glob("boot/vmlinuz-*")), finished / "vmlinuz")
    return finished


def initrd(drivers: Path) -> bytes:
    """Return the installer's initramfs, packed as the vendor packs it."""
    listed = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    found = sorted(path for path in drivers.rglob("*") if path.is_file())
    entries = [
        *initramfs.system(BUSYBOX),
        *(
            cpio.link(f"bin/{name}", "busybox")
            for name in sorted({*listed.stdout.split()} - {"busybox", "sh"})
        ),
        cpio.program("init", INIT.read_bytes()),
        cpio.program("lease", (initramfs.SCRIPTS / "lease").read_bytes()),
        *(cpio.plain(path.relative_to(drivers).as_posix(), path.read_bytes()) for path in found),
    ]
    return zstandard.ZstdCompressor().compress(cpio.archive(entries))


def written(path: Path) -> Path:
    """Write the ISO to *path*, as the vendor would."""
    booted = kernel()
    more = {
        ("/BOOT/LINUX26.;1", "linux26"): booted.image.read_bytes(),
        ("/LARGE.SQF;1", "large.squashfs"): LARGE,
    }
    return an_iso(path, initrd=initrd(booted.drivers), more=more)
