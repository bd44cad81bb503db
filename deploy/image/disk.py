"""The disk image: GPT, BIOS and EFI boot loaders and a root file system, without loop or mount."""

import subprocess
from pathlib import Path
from typing import Final

from deploy.image import grub, recipe

_TABLE: Final = """\
label: gpt
first-lba: 34
start={bios[0]}, size={bios[1]}, type=21686148-6449-6E6F-744E-656564454649, name="bios"
start={esp[0]}, size={esp[1]}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp"
start={root[0]}, size={root[1]}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="{label}"
"""


def build(image: Path, root: Path, parts: Path) -> None:
    """Write the bootable disk *image*, with the folder *root* as its root file system.

    *parts* holds Debian's unpacked packages of GRUB.  Raises subprocess.CalledProcessError when a
    tool fails.
    """
    with image.open("wb") as empty:
        empty.truncate(recipe.IMAGE_BYTES)
    _run("sfdisk", "--quiet", str(image), stdin=table())
    _place_bios_loader(image, parts)
    _place_efi_partition(image, parts)
    _place_root(image, root)


def table() -> str:
    """Return the partition table in the words of sfdisk, in sectors."""

    def sectors(partition: tuple[int, int]) -> tuple[int, int]:
        return partition[0] // grub.SECTOR, partition[1] // grub.SECTOR

    return _TABLE.format(
        bios=sectors(recipe.BIOS_BOOT),
        esp=sectors(recipe.ESP),
        root=sectors(recipe.ROOT),
        label=recipe.ROOT_LABEL,
    )


def _place_bios_loader(image: Path, parts: Path) -> None:
    core = image.with_suffix(".core")
    grub.bios_core(parts, core)
    begin = recipe.BIOS_BOOT[0]
    sector = begin // grub.SECTOR
    boot_img = (parts / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    with image.open("r+b") as disk:
        disk.write(grub.boot_sector(boot_img, core_sector=sector))
        disk.seek(begin)
        disk.write(grub.placed_core(core.read_bytes(), core_sector=sector))
    core.unlink()


def _place_efi_partition(image: Path, parts: Path) -> None:
    loader, partition = image.with_suffix(".efi"), image.with_suffix(".esp")
    grub.efi_loader(parts, loader)
    begin, length = recipe.ESP
    with partition.open("wb") as empty:
        empty.truncate(length)
    # One sector a cluster: FAT32 needs 65,525 clusters, and firmware is only sure to read FAT32.
    _run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", str(partition))
    _run("mmd", "-i", str(partition), "::EFI", "::EFI/BOOT")
    _run("mcopy", "-i", str(partition), str(loader), "::EFI/BOOT/BOOTX64.EFI")
    with image.open("r+b") as disk:
        disk.seek(begin)
        disk.write(partition.read_bytes())
    loader.unlink()
    partition.unlink()


def _place_root(image: Path, root: Path) -> None:
    begin, length = recipe.ROOT
    # Everything is initialised here, so that no kernel thread has to at the first boot; the
    # features that GRUB 2.06 cannot read are off.
    options = f"offset={begin},lazy_itable_init=0,lazy_journal_init=0"
    _run(
        *("mkfs.ext4", "-q", "-F", "-L", recipe.ROOT_LABEL, "-m", "1", "-J", "size=8"),
        *("-O", "^metadata_csum_seed,^orphan_file", "-E", options),
        *("-d", str(root), str(image), f"{length // 1024}k"),
    )


def _run(*command: str, stdin: str = "") -> None:
    subprocess.run(command, check=True, input=stdin, text=True, stdout=subprocess.DEVNULL)
