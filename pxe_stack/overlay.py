"""The small archive that brings a run's ISO into the installer's initramfs over the network.

The kernel unpacks it over the installer's own initrd and starts /pxe-init, which leaves the ISO
where the installer's init looks first: /proxmox.iso, in the root of the initramfs.
"""

from typing import Final

from pxe_stack import cpio, scripts

KERNEL_ARGUMENT: Final = "rdinit=/pxe-init"
"""What has the kernel start it."""

_PROGRAMS: Final = ("pxe-init", "pxe-udhcpc")


def archive(url: str, *, size: int, mac: str) -> bytes:
    """Return the archive for a machine that boots by *mac* and takes *size* bytes from *url*."""
    told = f"{url}\n{size}\n{mac}\n"
    return cpio.archive(
        [
            *(cpio.program(name, _script(name)) for name in _PROGRAMS),
            cpio.secret("pxe-init.conf", told.encode()),
        ]
    )


def _script(name: str) -> bytes:
    return scripts.template(f"installers/{name}.sh").encode()
