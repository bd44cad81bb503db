"""Machines with iPXE, the option ROM of QEMU's network card, behind QEMU's own network."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.pxe_stack import make
from tests.pxe_stack.lab import until
from tests.services import process

HOST = "10.0.2.2"
"""QEMU's name for this machine; what comes from behind it comes from 127.0.0.1."""
LIMIT_S = 100.0


class Console:
    """What a machine that runs iPXE has written."""

    def __init__(self, log, machine: subprocess.Popen[bytes]) -> None:
        self._log = log
        self._machine = machine

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def shows(self, *lines: str, limit_s: float = LIMIT_S) -> None:
        """Wait until each of *lines* is there."""
        until(lambda: all(line in self.text for line in lines), limit_s)


@contextmanager
def ipxe(folder, script: str, *devices: str, memory_mib: int = 128) -> Iterator[Console]:
    """A machine with *devices* whose iPXE runs *script*."""
    (folder / "tftp").mkdir()
    (folder / "tftp" / "x.ipxe").write_text(script, encoding="ascii")
    command = [
        *("qemu-system-x86_64", "-machine", "q35,accel=tcg,graphics=off", "-m", str(memory_mib)),
        *("-nodefaults", "-display", "none", "-serial", f"file:{folder}/serial", "-no-reboot"),
        *("-netdev", f"user,id=net,tftp={folder}/tftp,bootfile=x.ipxe"),
        *("-device", f"virtio-net-pci,netdev=net,mac={make.MAC},bootindex=0"),
        *devices,
    ]
    (folder / "serial").touch()
    machine = process.launch(command, folder / "qemu.log")
    try:
        yield Console(folder / "serial", machine)
    finally:
        process.stop(machine)
