"""A kernel and the deploy system for each network card, made once of Debian's packages and kept."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.image import apt, initramfs
from deploy.rack.hardware import Card
from pxe_stack import scripts

BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class Kind:
    """A kernel's package, and what it must load to reach its card and its disk."""

    package: str
    modules: tuple[str, ...]


KINDS = {
    Card.VIRTIO: Kind("linux-image-cloud-amd64", ("virtio_pci", "virtio_rng", "virtio_net")),
    # The cloud kernel starts in half the time, and has no driver for cards of metal.
    Card.E1000E: Kind("linux-image-amd64", ("e1000e", "nvme")),
}


@dataclass(frozen=True)
class Assets:
    kernel: Path
    initrd: Path


def of(card: Card) -> Assets:
    """Return the files for machines with *card*.  Raises apt.Unavailable."""
    kind = KINDS[card]
    package = apt.kernel_package(kind.package)
    made = kept(f"boot-{_key(kind, package)}", lambda scratch: _make(kind, package, scratch))
    return Assets(made / "vmlinuz", made / "initrd.img")


def kept(name: str, make: Callable[[Path], Path]) -> Path:
    """Return the folder that *make* once left in the one it was given; it is kept by *name*."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = caches / "sprout-tests" / name
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=made.parent) as scratch:
            make(Path(scratch)).replace(made)
    return made


def _key(kind: Kind, package: str) -> str:
    digest = hashlib.sha256(f"{package} {kind}".encode())
    for path in (BUSYBOX, *sorted(initramfs.SCRIPTS.iterdir()), Path(initramfs.__file__)):
        digest.update(path.read_bytes())
    digest.update(scripts.template(initramfs.SHARED).encode())
    return digest.hexdigest()


def _make(kind: Kind, package: str, scratch: Path) -> Path:
    kernel, finished = scratch / "kernel", scratch / "finished"
    finished.mkdir()
    apt.unpack([package], kernel)
    shutil.copyfile(next(kernel.glob("boot/vmlinuz-*")), finished / "vmlinuz")
    modules = next((kernel / "lib/modules").iterdir())
    archive = initramfs.build(BUSYBOX, modules, kind.modules)
    (finished / "initrd.img").write_bytes(archive)
    return finished
