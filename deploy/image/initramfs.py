"""The deploy system: busybox, a few drivers and the scripts beside this file, as one archive."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from pxe_stack import cpio, scripts

SCRIPTS: Final = Path(__file__).with_name("initramfs")
SHARED: Final = "installers/disks.sh"
"""What the deploy system has in common with other installers, among the templates."""
_PROGRAMS: Final = frozenset({"deploy", "lease"})
_DEPENDS: Final = re.compile(rb"\0depends=([^\0]*)\0")


def build(busybox: Path, modules: Path, wanted: Iterable[str]) -> bytes:
    """Return the archive, uncompressed: unpacking costs more than loading three megabytes.

    *busybox* is the static program, *modules* the folder of one kernel's modules and *wanted* the
    names of those to load; what they need comes along.
    """
    files = {path.stem.replace("-", "_"): path for path in modules.rglob("*.ko")}
    order = load_order(wanted, lambda name: depends(files[name].read_bytes()))
    loaded = {f"{name}.ko": files[name].read_bytes() for name in order}
    return cpio.archive([*system(busybox), *_scripts(), *_modules(loaded)])


def load_order(wanted: Iterable[str], needs: Callable[[str], Iterable[str]]) -> list[str]:
    """Return *wanted* and all they need, each after what it needs."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for needed in needs(name):
                visit(needed)
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def depends(module: bytes) -> list[str]:
    """Return the names of the modules that *module*, the content of a .ko file, says it needs."""
    found = _DEPENDS.search(module)
    names = found[1].decode().split(",") if found else []
    return [name.replace("-", "_") for name in names if name]


def system(busybox: Path) -> list[cpio.Entry]:
    """Return what every system of ours begins with: one program, under all of its names."""
    return [
        cpio.program("bin/busybox", busybox.read_bytes()),
        cpio.link("bin/sh", "busybox"),
        cpio.link("sbin", "bin"),
        cpio.folder("usr"),
        cpio.link("usr/bin", "../bin"),
        cpio.link("usr/sbin", "../bin"),
        cpio.folder("etc"),
        # The kernel opens it for the first program, before devtmpfs is there.
        cpio.character_device("dev/console", 5, 1),
    ]


def _scripts() -> list[cpio.Entry]:
    entries = [cpio.program("init", (SCRIPTS / "init").read_bytes())]
    for path in sorted(SCRIPTS.iterdir()):
        if path.name != "init":
            make = cpio.program if path.name in _PROGRAMS else cpio.plain
            entries.append(make(f"lib/sprout/{path.name}", path.read_bytes()))
    return [*entries, disks()]


def disks() -> cpio.Entry:
    """Return what knows disks by their identity, for systems that are built of these scripts."""
    return cpio.plain("lib/sprout/disks.sh", scripts.template(SHARED).encode())


def _modules(loaded: Mapping[str, bytes]) -> list[cpio.Entry]:
    order = "".join(f"{name}\n" for name in loaded).encode()
    contents = [cpio.plain(f"lib/modules/{name}", data) for name, data in loaded.items()]
    return [*contents, cpio.plain("lib/modules/order", order)]
