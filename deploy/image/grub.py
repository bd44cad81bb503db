"""Three GRUBs: for a BIOS, for UEFI, and for a netbooted UEFI machine to boot its disk by.

No grub-install: it wants a mounted disk.  GRUB's parts are put where it would put them.
"""

import subprocess
from pathlib import Path
from typing import Final

from deploy.image import recipe
from pxe_stack import scripts

SECTOR: Final = 512
_MODULES: Final = (
    "part_gpt",
    "part_msdos",
    "ext2",
    "normal",
    "linux",
    "configfile",
    "test",
    "echo",
)

# A prefix without a disk means: the disk that this GRUB was started from.  Two disks with the
# same image, or a label that occurs twice, cannot mislead it.
_PREFIX: Final = "(,gpt3)/boot/grub"


def bios_core(parts: Path, output: Path) -> None:
    """Write the core image for a BIOS; *parts* is the unpacked grub-pc-bin."""
    _mkimage(parts, "i386-pc", output, "-p", _PREFIX, "biosdisk", *_MODULES)


def efi_loader(parts: Path, output: Path) -> None:
    """Write the loader of the EFI system partition; *parts* is the unpacked grub-efi-amd64-bin."""
    _mkimage(parts, "x86_64-efi", output, "-p", _PREFIX, "fat", "efi_gop", "all_video", *_MODULES)


def efi_local(parts: Path, output: Path) -> None:
    """Write the loader that is sent over the network to boot the local disk."""
    config = output.with_suffix(".cfg")
    config.write_text(scripts.template("grub/local-boot.cfg"))
    extra = ("fat", "search", "search_label", "search_fs_file", "chain", "regexp", "boot")
    _mkimage(parts, "x86_64-efi", output, "-p", "/", "-c", str(config), *extra, *_MODULES)
    config.unlink()


def boot_sector(boot_img: bytes, *, core_sector: int) -> bytes:
    """Return the 440 bytes of code for the first sector, which load the core from *core_sector*.

    Offsets: GRUB_BOOT_MACHINE_KERNEL_SECTOR (5Ch) and GRUB_BOOT_MACHINE_DRIVE_CHECK (66h) of
    include/grub/i386/pc/boot.h.
    """
    code = bytearray(boot_img[:440])
    code[0x5C:0x64] = core_sector.to_bytes(8, "little")
    # Believe the BIOS about the drive number only if it is a disk, as grub-install arranges.
    code[0x66:0x68] = b"\x90\x90"
    return bytes(code)


def placed_core(core: bytes, *, core_sector: int) -> bytes:
    """Return *core* with its first sector told where the rest lies: directly behind it.

    The block list ends the first sector: start (8 bytes), length (2), segment (2).
    """
    placed = bytearray(core)
    placed[SECTOR - 12 : SECTOR - 4] = (core_sector + 1).to_bytes(8, "little")
    return bytes(placed)


def _mkimage(parts: Path, platform: str, output: Path, *arguments: str) -> None:
    folder = parts / "usr/lib/grub" / platform
    command = ("grub-mkimage", "-d", str(folder), "-O", platform, "-o", str(output))
    subprocess.run([*command, *arguments], check=True)


def menu(kernel_args: str) -> str:
    """Return the image's own grub.cfg: no menu, no waiting, one kernel."""
    return f"linux /boot/vmlinuz root=PARTLABEL={recipe.ROOT_LABEL} rw {kernel_args}\nboot\n"
