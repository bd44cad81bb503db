"""One QEMU process, from its start to its end."""

import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final, Self

from deploy.rack import children, netns, qemu
from deploy.rack.boot import First
from deploy.rack.disc import FILE
from deploy.rack.hardware import Firmware, Hardware
from deploy.rack.qmp import Monitor

PID_FILE: Final = "qemu.pid"
LOG: Final = "qemu.log"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine lives: its folder, and the tap in the namespace that it is plugged into."""

    folder: Path
    namespace: str
    tap: str


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    process: subprocess.Popen[bytes]
    monitor: Monitor
    pid_file: Path

    @classmethod
    def start(cls, hardware: Hardware, first: First, place: Place) -> Self:
        """Start QEMU and wait for its monitor.  Raise OSError, with QEMU's own words, if it fails.

        QEMU dies with the calling thread.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            disc = (place.folder / FILE).exists()
            words = qemu.command(hardware, first, tap=place.tap, monitor_fd=fd, disc=disc)
            process = children.start(
                netns.command(place.namespace, *words),
                folder=place.folder,
                log=place.folder / LOG,
                pass_fds=[fd],
            )
        run = cls(process, Monitor(ours), place.folder / PID_FILE)
        run.pid_file.write_text(f"{children.Identity.of(process.pid)}\n")
        try:
            run.monitor.greet()
        except OSError as exc:
            run.bury()
            raise OSError(f"{exc}: {_last_line(place.folder / LOG)}") from exc
        return run

    def watch(self, ended: Callable[[Self, str], None]) -> None:
        """Call *ended* with the reason, from another thread, when the process is gone."""

        def read() -> None:
            ended(self, self.monitor.shutdown_reason())

        Thread(target=read, name=f"qemu-{self.process.pid}", daemon=True).start()

    def bury(self) -> None:
        """Kill what still runs, and let go of everything."""
        self.process.kill()
        self.process.wait()
        self.monitor.close()
        self.pid_file.unlink(missing_ok=True)


def furnish(hardware: Hardware, folder: Path) -> None:
    """Put an empty disk and fresh firmware settings in the folder, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / qemu.DISK).open("ab") as disk:
        if disk.tell() < hardware.disk.size:
            disk.truncate(hardware.disk.size)
    if hardware.firmware is Firmware.UEFI and not (folder / qemu.VARS).exists():
        keys = qemu.SECURE_VARS if hardware.secure_boot else qemu.OVMF_VARS
        shutil.copyfile(keys, folder / qemu.VARS)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "no word from it"
