"""The inventory system: a kernel for metal, busybox, Debian's tools and the scripts in inventory/.

Compressed, unlike the deploy system: it is six times as large, since it knows far more hardware.
"""

import gzip
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from deploy.image import apt, elf, initramfs, recipe
from pxe_stack import cpio

SCRIPTS: Final = Path(__file__).with_name("inventory")
SHARED: Final = ("report.sh", "network.sh", "lease")
"""Of the deploy system: how to speak with the site, and what a disk is called."""

_PROGRAMS: Final = frozenset({"inventory", "core", "places", "lease"})
_LIBRARIES: Final = "lib/x86_64-linux-gnu"


def make(finished: Path, scratch: Path) -> Mapping[str, Any]:
    """Leave kernel and initramfs in *finished*; return what is to be said of them."""
    kernel, parts = scratch / "kernel", scratch / "parts"
    apt.unpack([apt.kernel_package(recipe.INVENTORY_KERNEL)], kernel)
    apt.unpack(recipe.INVENTORY_PACKAGES, parts)
    shutil.copyfile(next(kernel.glob("boot/vmlinuz-*")), finished / "vmlinuz")
    entries = [
        *initramfs.system(parts / "bin/busybox"),
        *_scripts(),
        *_tools(parts),
        *_modules(kernel, parts / "bin/busybox"),
    ]
    # The same bytes for the same files: no time, no name.
    archive = gzip.compress(cpio.archive(entries), mtime=0)
    (finished / "initrd.img").write_bytes(archive)
    return {
        "name": "inventory",
        "architecture": "x86_64",
        "installer": "inventory",
        "kernel": "vmlinuz",
        "initrd": "initrd.img",
        "kernel_args": " ".join(recipe.KERNEL_ARGS),
    }


def _scripts() -> list[cpio.Entry]:
    entries = [cpio.program("init", (SCRIPTS / "init").read_bytes())]
    own = [path for path in SCRIPTS.iterdir() if path.is_file() and path.name != "init"]
    for path in sorted((*own, *(initramfs.SCRIPTS / name for name in SHARED))):
        make_entry = cpio.program if path.name in _PROGRAMS else cpio.plain
        entries.append(make_entry(f"lib/sprout/{path.name}", path.read_bytes()))
    return [*entries, initramfs.disks()]


def _tools(parts: Path) -> list[cpio.Entry]:
    """Return the tools and every library that they name, and those that these name."""
    tools = {Path(name).name: (parts / name).read_bytes() for name in recipe.INVENTORY_TOOLS}
    found = {path.name: path for path in parts.rglob("*.so*")}
    libraries = elf.closure(tools.values(), lambda name: found[name].read_bytes())
    loader = next(data for name, data in libraries.items() if name.startswith("ld-linux"))
    return [
        *(cpio.program(f"bin/{name}", data) for name, data in tools.items()),
        *(cpio.program(f"{_LIBRARIES}/{name}", data) for name, data in libraries.items()),
        cpio.program("lib64/ld-linux-x86-64.so.2", loader),
    ]


def _modules(kernel: Path, busybox: Path) -> list[cpio.Entry]:
    """Return the drivers, and the tables by which the right ones are found for a device."""
    source = next((kernel / "lib/modules").iterdir())
    chosen = _chosen(source / "kernel")
    every = {path.stem.replace("-", "_"): path for path in source.rglob("*.ko")}
    names = initramfs.load_order(chosen, lambda name: initramfs.depends(every[name].read_bytes()))
    kept = kernel / "kept" / "lib/modules" / source.name
    for name in names:
        target = kept / every[name].relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(every[name], target)
    for name in ("modules.builtin", "modules.order"):
        shutil.copyfile(source / name, kept / name)
    words = [str(busybox), "depmod", "-b", str(kernel / "kept"), source.name]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    paths = sorted(path for path in kept.rglob("*") if path.is_file())
    return [
        cpio.plain(path.relative_to(kernel / "kept").as_posix(), path.read_bytes())
        for path in paths
    ]


def _chosen(kernel: Path) -> Iterable[str]:
    for folder in recipe.INVENTORY_DRIVERS:
        paths = [kernel / f"{folder}.ko", *sorted((kernel / folder).rglob("*.ko"))]
        yield from (path.stem.replace("-", "_") for path in paths if path.exists())
