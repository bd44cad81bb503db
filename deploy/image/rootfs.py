"""The root file system of the image: Debian's packages, then what makes it boot fast and alone."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.image import apt, grub, recipe

OVERLAY: Final = Path(__file__).with_name("rootfs")
_MERGED_USR: Final = "/usr/share/mmdebstrap/hooks/merged-usr"
_WANTED_MODE: Final = {"first-boot": 0o755, "grow-root": 0o755}


def build(root: Path, kernel: Path, scratch: Path) -> None:
    """Make the file system in the folder *root*, with the unpacked package *kernel* inside.

    Raises subprocess.CalledProcessError when one of Debian's tools fails.
    """
    sources = scratch / "sources.list"
    sources.write_text(apt.sources())
    _bootstrap(root, sources)
    _add_kernel(root, kernel)
    _overlay(root)
    _configure_units(root)
    _remove(root, recipe.REMOVED)
    _forget_identity(root)


def add_boot_files(root: Path, vmlinuz: Path) -> None:
    """Put the kernel and GRUB's menu where the boot loaders of the disk look for them."""
    shutil.copyfile(vmlinuz, root / "boot/vmlinuz")
    (root / "boot/grub").mkdir()
    (root / "boot/grub/grub.cfg").write_text(grub.menu(" ".join(recipe.INSTALLED_ARGS)))


def packages(root: Path) -> list[str]:
    """Return "name version" of each package in the file system."""
    admin = f"--admindir={root}/var/lib/dpkg"
    shown = ("dpkg-query", admin, "-W", "-f", "${Package} ${Version}\\n")
    done = subprocess.run(shown, check=True, capture_output=True, text=True)
    return sorted(done.stdout.splitlines())


def _bootstrap(root: Path, sources: Path) -> None:
    # "apt" is the smallest variant that can install more packages later.
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=apt"),
            f"--architectures={recipe.ARCHITECTURE}",
            # Else usrmerge is installed for that, and with it 45 MB of perl.
            f"--hook-dir={_MERGED_USR}",
            f"--include={','.join(recipe.PACKAGES)}",
            '--dpkgopt=path-exclude="/usr/share/doc/*"',
            '--dpkgopt=path-exclude="/usr/share/locale/*"',
            '--dpkgopt=path-exclude="/usr/share/man/*"',
            *(recipe.SUITE, str(root), str(sources)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _add_kernel(root: Path, kernel: Path) -> None:
    """Without the package's scripts: they would make an initramfs, which this image can spare."""
    source = next((kernel / "lib/modules").iterdir())
    target = root / "usr/lib/modules" / source.name
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)
    for kept in recipe.KEPT_MODULES:
        folder = source / "kernel" / kept
        if folder.exists():
            shutil.copytree(folder, target / "kernel" / kept)
    _inside(root, "depmod", source.name)


def _overlay(root: Path) -> None:
    for path in sorted(OVERLAY.rglob("*")):
        if path.is_file():
            target = root / path.relative_to(OVERLAY)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(_WANTED_MODE.get(path.name, 0o644))


def _configure_units(root: Path) -> None:
    _inside(root, "systemctl", "--quiet", "enable", *recipe.ENABLED_UNITS)
    _inside(root, "systemctl", "--quiet", "mask", *recipe.MASKED_UNITS)


def _remove(root: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _forget_identity(root: Path) -> None:
    """Every machine makes its own host keys, name and machine-id at its first boot.

    The id is empty and not absent: systemd then does not take this for its own "first boot",
    which would enable every unit anew (machine-id(5)).
    """
    (root / "etc/machine-id").write_text("")


def _inside(root: Path, *command: str) -> None:
    subprocess.run(["chroot", str(root), *command], check=True)
