"""Builds everything once, keeps it under its content's name, and puts it where it is wanted."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.image import apt, disk, grub, initramfs, inventory_image, key, recipe, rootfs

FACTS: Final = "image.json"


class Failed(Exception):
    """One of Debian's tools did not do its part."""


@dataclass(frozen=True, slots=True)
class Built:
    """Where the files are, and whether they had to be made."""

    folder: Path
    fresh: bool

    @property
    def mib(self) -> float:
        """What its kernel and initramfs have, in MiB: so much a machine fetches before it runs."""
        files = (self.folder / "vmlinuz", self.folder / "initrd.img")
        return sum(path.stat().st_size for path in files) / recipe.MIB


@dataclass(frozen=True, slots=True)
class Product:
    """One thing that is built: of *packages*, into files *outputs* of the cache's *folder*.

    *make* leaves them in its first folder, has the second to work in, and returns what image.json
    says of them.
    """

    folder: str
    packages: tuple[str, ...]
    outputs: tuple[str, ...]
    make: Callable[[Path, Path], Mapping[str, Any]]


def build(output: Path, cache: Path, product: Product | None = None) -> Built:
    """Leave the outputs of *product*, by default DEBIAN's, and image.json in *output*.

    They are made only when needed.  Raises apt.Unavailable when this machine's apt lacks
    something, and Failed.
    """
    product = product or DEBIAN
    cache.mkdir(parents=True, exist_ok=True)
    packages = _closure(cache, product)
    name = key.content_key(key.recipe_files(), packages)
    made = cache / name
    fresh = not (made / FACTS).exists()
    if fresh:
        _make(made, cache, product, name)
    _place(made, output, product)
    return Built(output, fresh)


def _closure(cache: Path, product: Product) -> list[str]:
    """Every package that goes in.  Asking apt takes a second, so the answer is kept."""
    asked = " ".join(product.packages)
    known = cache / f"packages-{hashlib.sha256((asked + key.index_digest()).encode()).hexdigest()}"
    if known.exists():
        return known.read_text().splitlines()
    found = apt.closure(product.packages)
    _write_whole(known, "".join(f"{package}\n" for package in found))
    return found


def _make(made: Path, cache: Path, product: Product, name: str) -> None:
    # apt and mmdebstrap drop their rights in places: the folder must be passable for others.
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        finished = folder / "finished"
        finished.mkdir()
        try:
            said = product.make(finished, folder)
        except subprocess.CalledProcessError as exc:
            raise Failed(f"'{exc.cmd[0]}' ended with {exc.returncode}") from exc
        facts = {**said, "key": name, "files": _files(finished, product.outputs)}
        (finished / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        try:
            finished.rename(made)
        except OSError:
            if not (made / FACTS).exists():  # another builder was faster: its files are as good
                raise


def _debian(finished: Path, scratch: Path) -> Mapping[str, Any]:
    kernel, parts, root = scratch / "kernel", scratch / "parts", scratch / "root"
    apt.unpack([apt.kernel_package()], kernel)
    apt.unpack(recipe.UNPACKED, parts)
    vmlinuz = next(kernel.glob("boot/vmlinuz-*"))
    shutil.copyfile(vmlinuz, finished / "vmlinuz")
    modules = next((kernel / "lib/modules").iterdir())
    archive = initramfs.build(parts / "bin/busybox", modules, recipe.DEPLOY_MODULES)
    (finished / "initrd.img").write_bytes(archive)
    grub.efi_local(parts, finished / "grub-local.efi")
    rootfs.build(root, kernel, scratch)
    rootfs.add_boot_files(root, vmlinuz)
    disk.build(finished / recipe.IMAGE, root, parts)
    return {
        "name": "debian-12",
        "architecture": "x86_64",
        "os": "debian-12",
        "image": recipe.IMAGE,
        "kernel": "vmlinuz",
        "initrd": "initrd.img",
        "kernel_args": " ".join(recipe.KERNEL_ARGS),
        "packages": sorted(rootfs.packages(root)),
    }


DEBIAN: Final = Product(
    folder="current",
    packages=(*recipe.PACKAGES, *recipe.UNPACKED, recipe.KERNEL),
    outputs=recipe.OUTPUTS,
    make=_debian,
)
INVENTORY: Final = Product(
    folder="inventory",
    packages=(*recipe.INVENTORY_PACKAGES, recipe.INVENTORY_KERNEL),
    outputs=recipe.INVENTORY_OUTPUTS,
    make=inventory_image.make,
)


def _files(folder: Path, outputs: Sequence[str]) -> dict[str, Any]:
    return {output: _file_facts(folder / output) for output in outputs}


def _file_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"sha256": digest, "size": path.stat().st_size}


def _place(made: Path, output: Path, product: Product) -> None:
    """Link, or else copy, each file into *output*; the facts come last, and so vouch for all."""
    output.mkdir(parents=True, exist_ok=True)
    for name in (*product.outputs, FACTS):
        source, target = made / name, output / name
        if target.exists() and target.samefile(source):
            continue
        fresh = target.with_name(f".{name}.{os.getpid()}")
        try:
            os.link(source, fresh)
        except OSError:
            _copy_sparse(source, fresh)
        fresh.replace(target)


def _copy_sparse(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def _write_whole(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)
