"""Builds everything once, keeps it under its content's name, and puts it where it is wanted."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.image import apt, disk, grub, initramfs, key, recipe, rootfs

FACTS: Final = "image.json"


class Failed(Exception):
    """One of Debian's tools did not do its part."""


@dataclass(frozen=True, slots=True)
class Built:
    """Where the files are, and whether they had to be made."""

    folder: Path
    fresh: bool


def build(output: Path, cache: Path) -> Built:
    """Leave the files of recipe.OUTPUTS and image.json in *output*, made only when needed.

    Raises apt.Unavailable when this machine's apt lacks something, and Failed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    packages = _closure(cache)
    name = key.content_key(key.recipe_files(), packages)
    made = cache / name
    fresh = not (made / FACTS).exists()
    if fresh:
        _make(made, cache, packages, name)
    _place(made, output)
    return Built(output, fresh)


def _closure(cache: Path) -> list[str]:
    """Every package that goes in.  Asking apt takes a second, so the answer is kept."""
    asked = " ".join((*recipe.PACKAGES, *recipe.UNPACKED, recipe.KERNEL))
    known = cache / f"packages-{hashlib.sha256((asked + key.index_digest()).encode()).hexdigest()}"
    if known.exists():
        return known.read_text().splitlines()
    found = apt.closure([*recipe.PACKAGES, *recipe.UNPACKED, recipe.KERNEL])
    _write_whole(known, "".join(f"{package}\n" for package in found))
    return found


def _make(made: Path, cache: Path, packages: Sequence[str], name: str) -> None:
    # apt and mmdebstrap drop their rights in places: the folder must be passable for others.
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        finished = folder / "finished"
        finished.mkdir()
        try:
            _make_files(finished, folder)
        except subprocess.CalledProcessError as exc:
            raise Failed(f"'{exc.cmd[0]}' ended with {exc.returncode}") from exc
        facts = describe(finished, rootfs.packages(folder / "root"), name)
        (finished / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        try:
            finished.rename(made)
        except OSError:
            if not (made / FACTS).exists():  # another builder was faster: its files are as good
                raise


def _make_files(finished: Path, scratch: Path) -> None:
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


def describe(folder: Path, packages: Iterable[str], name: str) -> dict[str, Any]:
    """Return the facts of the outputs in *folder*: what image.json holds."""
    return {
        "name": "debian-12",
        "architecture": "x86_64",
        "os": "debian-12",
        "image": recipe.IMAGE,
        "kernel": "vmlinuz",
        "initrd": "initrd.img",
        "kernel_args": " ".join(recipe.KERNEL_ARGS),
        "key": name,
        "files": {output: _file_facts(folder / output) for output in recipe.OUTPUTS},
        "packages": sorted(packages),
    }


def _file_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"sha256": digest, "size": path.stat().st_size}


def _place(made: Path, output: Path) -> None:
    """Link, or else copy, each file into *output*; the facts come last, and so vouch for all."""
    output.mkdir(parents=True, exist_ok=True)
    for name in (*recipe.OUTPUTS, FACTS):
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
