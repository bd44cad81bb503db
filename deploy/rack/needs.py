"""What a rack needs of its host, and what is missing."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.rack import qemu
from deploy.rack.hardware import Firmware

TUN: Final = Path("/dev/net/tun")


@dataclass(frozen=True, slots=True)
class Need:
    what: str
    present: Callable[[], bool]
    package: str = ""
    remedy: str = ""
    firmware: tuple[Firmware, ...] = tuple(Firmware)


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _is_root() -> bool:
    return os.geteuid() == 0


def _can_unshare() -> bool:
    """Root in a container may lack CAP_SYS_ADMIN: only trying tells."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return tried.returncode == 0


NEEDS: Final = (
    Need("root", _is_root, remedy="run as root: a rack makes a network namespace"),
    Need(
        "the right to make network namespaces",
        _can_unshare,
        remedy="give this container CAP_SYS_ADMIN and CAP_NET_ADMIN",
    ),
    Need(str(TUN), TUN.exists, remedy=f"give this container {TUN}, or `modprobe tun`"),
    Need("ip", _program("ip"), package="iproute2"),
    Need("nsenter", _program("nsenter"), package="util-linux"),
    Need("setpriv", _program("setpriv"), package="util-linux"),
    Need(qemu.PROGRAM, _program(qemu.PROGRAM), package="qemu-system-x86"),
    Need(str(qemu.SEABIOS), qemu.SEABIOS.exists, package="seabios", firmware=(Firmware.BIOS,)),
    Need(
        str(qemu.BIOS_NIC_ROM),
        qemu.BIOS_NIC_ROM.exists,
        package="ipxe-qemu",
        firmware=(Firmware.BIOS,),
    ),
    Need(str(qemu.OVMF_CODE), qemu.OVMF_CODE.exists, package="ovmf", firmware=(Firmware.UEFI,)),
    Need(str(qemu.OVMF_VARS), qemu.OVMF_VARS.exists, package="ovmf", firmware=(Firmware.UEFI,)),
)


def missing(firmware: Iterable[Firmware] = tuple(Firmware)) -> list[Need]:
    """Return what a rack with machines of *firmware* lacks on this host."""
    wanted = set(firmware)
    return [need for need in NEEDS if wanted & set(need.firmware) and not need.present()]


def apt_line(needs: Iterable[Need]) -> str:
    """Return the command that installs the packages of *needs*, or an empty string."""
    packages = sorted({need.package for need in needs if need.package})
    install = "apt-get install -y --no-install-recommends"
    return f"{install} {' '.join(packages)}" if packages else ""


def remedies(needs: Iterable[Need]) -> list[str]:
    """Return what to do about *needs*, one line each, without repetition."""
    listed = list(needs)
    lines = [need.remedy for need in listed if need.remedy]
    return [*lines, *filter(None, [apt_line(listed)])]


def report(needs: Iterable[Need]) -> dict[str, Any]:
    """Return the same as a value for programs."""
    listed = list(needs)
    return {
        "ready": not listed,
        "missing": [{"what": need.what, "package": need.package or None} for need in listed],
        "apt": apt_line(listed) or None,
        "do": remedies(listed),
    }
