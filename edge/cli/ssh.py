"""`sprout ssh`: a shell on a machine, through the rack's namespace where it stands in one."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config.settings import Settings
from edge.cli.client import Told


def enter(machine: Mapping[str, Any], command: Sequence[str]) -> int:
    """Run ssh to *machine* and return its status; only the host key of its first boot is trusted.

    Raises Told when the machine has no address or no known host key.
    """
    if (machine.get("labels") or {}).get("simulated") == "true":
        raise Told(f"{machine['hostname']} is simulated: no system runs on it")
    address, keys = machine.get("address"), machine.get("sshHostKeys") or []
    if not address or not keys:
        raise Told(
            f"{machine['hostname']} has no address or no known host key yet",
            f"What it waits for: sprout why {machine['hostname']}",
        )
    folder = Settings.load().data_dir
    with tempfile.NamedTemporaryFile("w", prefix="sprout-known-", encoding="ascii") as known:
        known.writelines(f"{address} {key}\n" for key in keys)
        known.flush()
        words = [*_prefix(folder, machine), "ssh", *_options(folder, Path(known.name))]
        return subprocess.run([*words, f"root@{address}", *command], check=False).returncode


def _options(folder: Path, known: Path) -> list[str]:
    key = folder / "ssh" / "id_ed25519"
    identity = ["-i", str(key)] if key.exists() else []
    pinned = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    return [*identity, *pinned, "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"]


def _prefix(folder: Path, machine: Mapping[str, Any]) -> list[str]:
    """Return the words that lead into the namespace of the rack that *machine* stands in."""
    board = (machine.get("bmc") or {}).get("address")
    for described in folder.glob("rack-*/rack.json"):
        rack = json.loads(described.read_text(encoding="utf-8"))
        if any(one["bmc"]["address"] == board for one in rack["machines"]):
            return ["ip", "netns", "exec", str(rack["netns"])]
    return []
