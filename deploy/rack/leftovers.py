"""What a rack leaves behind when it is killed, and how the next one removes it.

A rack holds a lock on its folder while it lives.  Whoever gets the lock may remove what is
recorded there: QEMU processes by pid and start time, and the namespace with its links.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.rack import children, netns
from deploy.rack.emulator import PID_FILE

RACK_FILE: Final = "rack.json"
_LOCK: Final = "lock"
_NAMESPACE: Final = "netns"
_OWN_NAME: Final = re.compile(r"sprout-rack-(?P<pid>\d+)(-\d+)?")


class Occupied(Exception):
    """A living rack has this folder, or someone else has the namespace."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, or raise Occupied."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(f"a rack is running in {folder}") from None
        yield


def own_name(serial: int) -> str:
    """Return the name of this process's namespace number *serial*."""
    return f"sprout-rack-{os.getpid()}-{serial}"


def claim(folder: Path, namespace: str) -> None:
    """Record the namespace as ours, before it is made; raise Occupied when it exists."""
    if netns.exists(namespace):
        raise Occupied(f"network namespace {namespace} exists and is not of the rack in {folder}")
    (folder / _NAMESPACE).write_text(namespace)


def sweep(folder: Path) -> list[str]:
    """Remove what is recorded in the locked *folder*; return a line for each thing removed."""
    return [
        *_kill_machines(folder),
        *_remove_namespace(folder),
        *_remove_ownerless_namespaces(),
    ]


def _kill_machines(folder: Path) -> Iterator[str]:
    (folder / RACK_FILE).unlink(missing_ok=True)
    for record in sorted(folder.glob(f"*/{PID_FILE}")):
        try:
            identity = children.Identity.parse(record.read_text())
        except ValueError:
            identity = None  # killed while it wrote the record
        if identity and children.kill(identity):
            yield f"process {identity.pid} ({record.parent.name})"
        record.unlink()


def _remove_namespace(folder: Path) -> Iterator[str]:
    record = folder / _NAMESPACE
    if not record.exists():
        return
    name = record.read_text()
    if name and netns.exists(name):
        netns.delete(name)
        yield f"network namespace {name}"
    record.unlink()


def _remove_ownerless_namespaces() -> Iterator[str]:
    """Racks whose folder is gone too: their namespaces carry the pid of a process that is gone."""
    for name in netns.names():
        match = _OWN_NAME.fullmatch(name)
        if match and not Path("/proc", match["pid"]).exists():
            netns.delete(name)
            yield f"network namespace {name}"
