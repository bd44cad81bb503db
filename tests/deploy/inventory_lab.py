"""The inventory image, built once and kept, and machines that take inventory of themselves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import hardware
from tests.deploy import image_lab
from tests.deploy.image_lab import TOKEN, Machine, Site

ROOT = Path(__file__).parents[2]
BUILD_S = 300
BOOT_S = 240.0
"""Seconds to the last word of a machine: four times what it takes where nothing else runs."""


def built() -> Path:
    """Return the folder of the inventory kernel and initramfs."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = caches / "sprout-tests" / "inventory"
    words = [sys.executable, "-m", "deploy.image", "--inventory", "--cache", str(cache)]
    subprocess.run(words, check=True, cwd=ROOT, timeout=BUILD_S)
    return cache / "inventory"


@dataclass(frozen=True)
class Taken:
    """What a machine said of itself: its report, and the facts in it."""

    machine: Machine
    told: Site
    report: str

    @property
    def facts(self) -> dict[str, Any]:
        return hardware.facts(self.report)

    def tests(self) -> dict[tuple[str, str | None], dict[str, Any]]:
        return {(each["name"], each["subject"]): each for each in self.facts["tests"]}


@contextmanager
def taking(folder: Path, *arguments: str, **wanted: str) -> Iterator[Taken]:
    """Boot a machine of *arguments* into the inventory system, and wait for its report."""
    image = built()
    with image_lab.namespace() as name, image_lab.site(name) as told:
        machine = Machine(folder, name)
        lines = {
            "version": "1",
            "task": "inventory",
            "run": TOKEN.split("/")[2],
            "callback": f"{told.url}{TOKEN}/",
            **wanted,
        }
        text = "".join(f"{key} {value}\n" for key, value in lines.items())
        told.files[f"{TOKEN}/manifest"] = text.encode()
        direct = image_lab.direct_boot(image, f"{told.url}{TOKEN}/manifest")
        machine.start(*image_lab.network_card(), *arguments, *direct)
        try:
            whole = told.wait_for("inventoried", BOOT_S)
            parts = [told.bodies[f"report-{number}"] for number in range(int(whole["parts"]))]
            yield Taken(machine, told, b"".join(parts).decode())
        except BaseException:
            print(machine.console.read_text(errors="replace")[-4000:])  # noqa: T201
            raise
        finally:
            machine.stop()


def sata(path: Path, serial: str, wwn: str) -> list[str]:
    drive = f"if=none,id={serial},format=raw,file={path}"
    return ["-drive", drive, "-device", f"ide-hd,drive={serial},serial={serial},wwn={wwn}"]


def virtio(path: Path, serial: str) -> list[str]:
    drive = f"if=none,id={serial},format=raw,file={path}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]


def broken(path: Path, serial: str, sector: int) -> list[str]:
    """A disk with a *sector* (of 512 bytes) that cannot be read."""
    fault = f"inject-error.0.event=read_aio,inject-error.0.errno=5,inject-error.0.sector={sector}"
    return [
        *("-blockdev", f"driver=file,filename={path},node-name=file-{serial}"),
        *("-blockdev", f"driver=blkdebug,image=file-{serial},node-name=bad-{serial},{fault}"),
        *("-blockdev", f"driver=raw,file=bad-{serial},node-name=raw-{serial}"),
        *("-device", f"ide-hd,drive=raw-{serial},serial={serial}"),
    ]
