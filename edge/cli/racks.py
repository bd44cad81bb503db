"""The two kinds of rack that `sprout up --rack N` can run, and the site in front of each."""

import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

from config.settings import Settings
from edge.cli import rehearsal
from edge.cli.client import Told
from edge.cli.local.core import Core
from edge.cli.local.folder import Folder
from edge.cli.local.process import Finished, LogLine, Process
from edge.cli.local.up import Up

BUILD_S: Final = 1200.0
"""Seconds that the first build of the image may take."""
START_S: Final = 60.0


class Rack(Protocol):
    """A kind of rack, on one data folder."""

    premises: rehearsal.Premises

    def start(self, started: Up, core: Core) -> None:
        """Run it, and return when its machines can be powered on."""

    def described(self) -> dict[str, Any]:
        """Return what it says of itself."""

    def built(self) -> dict[str, Any]:
        """Return what is known of the image that its machines install."""

    def inventory(self) -> dict[str, Any]:
        """Return what is known of the image by which its machines take inventory."""

    def site_env(self, rack: Mapping[str, Any]) -> dict[str, str]:
        """Return what its site is told besides, by environment."""


class Virtual:
    """Machines in QEMU with real firmware, behind a bridge in a network namespace."""

    premises = rehearsal.VIRTUAL

    def __init__(
        self, settings: Settings, *, machines: int, firmware: str, inventory: bool = False
    ) -> None:
        self._settings = settings
        self._wants_inventory = inventory
        self._count = machines
        self._firmware = firmware
        self._data = settings.data_dir
        self._state = self._data / f"rack-{firmware}"
        self._image = self._data / "artifacts" / self.premises.artifact
        self._inventory = self._data / "artifacts" / rehearsal.INVENTORY

    def start(self, started: Up, core: Core) -> None:
        if self._wants_inventory:
            took = self._built(started, core, "inventory-image", self._inventory, "--inventory")
            started.start(took)
            started.wait_ready("inventory-image", timeout_s=BUILD_S)
        image = self._built(started, core, "image", self._image)
        rack = started.process(
            "rack",
            core,
            *("up", "--machines", str(self._count), "--firmware", self._firmware, "--no-advertise"),
            *("--name", f"rack-{self._firmware}", "--state", str(self._state)),
            *("--cidr", self.premises.cidr, "--address", self.premises.address),
            *("--netns", _namespace(self._data), "--bmc-port", str(self._bmc_port())),
            ready=LogLine('"machines"'),
            stop_s=20.0,
        )
        started.start(image, rack)
        started.wait_ready("image", "rack", timeout_s=BUILD_S)

    def described(self) -> dict[str, Any]:
        return _json(self._state / "rack.json")

    def _built(self, started: Up, core: Core, name: str, output: Path, *words: str) -> Process:
        cache = self._data / "image-cache"
        paths = ("--output", str(output), "--cache", str(cache))
        return started.process(name, core, *words, *paths, ready=Finished())

    def built(self) -> dict[str, Any]:
        return _json(self._image / "image.json")

    def inventory(self) -> dict[str, Any]:
        return _json(self._inventory / "image.json")

    def site_env(self, rack: Mapping[str, Any]) -> dict[str, str]:
        folders = [str(path) for path in (*self._settings.loader_dirs, self._image)]
        return {
            "SPROUT_SITE_DIR": str(self._data / "site"),
            "SPROUT_NETNS": str(rack["netns"]),
            "SPROUT_DHCP_BIND_INTERFACE": str(rack["bridge"]),
            "SPROUT_DHCP_BIND_ADDR": self.premises.address,
            "SPROUT_LOADER_DIRS": ":".join(folders),
        }

    def _bmc_port(self) -> int:
        """Return the port of the first BMC: the one that its record has, else a free one."""
        try:
            return int(self.described()["machines"][0]["bmc"]["address"].rpartition(":")[2])
        except (OSError, ValueError, KeyError, IndexError):
            return _free_ports(self._count, _digest(self._data))


class Simulated:
    """Machines that one process plays, on loopback: for any user, and in any number."""

    premises = rehearsal.SIMULATED

    def __init__(self, settings: Settings, *, machines: int, firmware: str, speed: float) -> None:
        self._count = machines
        self._firmware = firmware
        self._speed = speed
        self._data = settings.data_dir
        self._state = self._data / "rack-simulated"
        self._image = self._data / "artifacts" / self.premises.artifact
        folder = Folder(self._data)
        self._ports = {name: folder.port(f"simulated-{name}") for name in ("dhcp", "tftp", "boot")}

    def start(self, started: Up, core: Core) -> None:
        rack = started.process(
            "rack",
            core,
            *("simulated", "--machines", str(self._count), "--firmware", self._firmware),
            *("--state", str(self._state), "--image", str(self._image)),
            *("--dhcp", f"{self.premises.address}:{self._ports['dhcp']}"),
            *("--tftp-port", str(self._ports["tftp"]), "--speed", str(self._speed)),
            ready=LogLine('"machines"'),
        )
        started.start(rack)
        started.wait_ready("rack", timeout_s=START_S)

    def described(self) -> dict[str, Any]:
        return _json(self._state / "rack.json")

    def built(self) -> dict[str, Any]:
        return _json(self._image / "image.json")

    def inventory(self) -> dict[str, Any]:
        raise Told("simulated machines run no kernel: they are commissioned by their BMCs")

    def site_env(self, rack: Mapping[str, Any]) -> dict[str, str]:
        address = self.premises.address
        return {
            "SPROUT_SITE_DIR": str(self._data / "site-simulated"),
            "SPROUT_NETNS": "",
            "SPROUT_DHCP_BIND_INTERFACE": "lo",
            "SPROUT_DHCP_BIND_ADDR": address,
            "SPROUT_DHCP_PORT": str(self._ports["dhcp"]),
            "SPROUT_TFTP_BIND_ADDR": address,
            "SPROUT_TFTP_PORT": str(self._ports["tftp"]),
            "SPROUT_BOOT_BIND_ADDR": address,
            "SPROUT_BOOT_PORT": str(self._ports["boot"]),
            "SPROUT_BOOT_ADVERTISE_URL": "",
            "SPROUT_LOADER_DIRS": str(self._image),
            # The canary plays firmware on a wire, and there is none: only a relay on loopback.
            "SPROUT_CANARY_INTERVAL_S": "0",
        }


def lacking(firmware: str) -> list[str]:
    """Return what is missing here to run real firmware, and what to do, a line each."""
    _require()
    words = [sys.executable, "-m", "deploy.rack", "check", "--firmware", firmware]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=_checkout())
    return [] if done.returncode == 0 else (done.stdout or done.stderr).splitlines()[-12:]


def _require() -> None:
    if importlib.util.find_spec("deploy") is None:
        raise Told(
            "the rack is a tool of development, and not installed here",
            "Run this from a checkout of Sprout.",
        )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _namespace(data: Path) -> str:
    """Return a name that belongs to this data folder alone, the same at every start."""
    return f"sprout-{_digest(data)[:8]}"


def _digest(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data.resolve())).hexdigest()


def _free_ports(count: int, folder: str) -> int:
    """Return the first of *count* neighbouring ports that are free on loopback.

    The search begins at a place of the data folder's own, the hexadecimal digest *folder*: two
    racks that start at once would choose the same ports, and one of them would find them taken.
    """
    bases = range(21_000, 31_000, max(count, 10))
    first = int(folder, 16) % len(bases)
    for base in chain(bases[first:], bases[:first]):
        held = [socket.socket() for _ in range(count)]
        try:
            for number, one in enumerate(held):
                one.bind(("127.0.0.1", base + number))
        except OSError:
            continue
        else:
            return base
        finally:
            for one in held:
                one.close()
    raise Told("no free ports for the rack's BMCs on 127.0.0.1")


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]
