"""Ends what an earlier supervisor left behind, and never a stranger that got a reused pid.

A process is known by its pid *and* its start time, and is signalled through a pidfd that was
opened before the two were compared: the kernel cannot hand the number on in between.  Children of
our children are known by a mark in their environment.
"""

import json
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge.cli.local.folder import write_private

MARK: Final = "SPROUT_UP_FOLDER"
"""Stands in the environment of all that the supervisor starts; its value is the data folder."""

_PROC: Final = Path("/proc")
_START_TIME: Final = 19
"""Field 22 of /proc/PID/stat, counted from the state, which follows the name: proc(5)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A child as the roster has it: *started* in clock ticks since boot."""

    name: str
    pid: int
    started: int
    stop_signal: int


def start_time(pid: int) -> int | None:
    """Return when *pid* started, in clock ticks since boot; None: it runs no more."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[_START_TIME])


def record(roster: Path, entries: Iterable[Entry]) -> None:
    """Write down who runs, for the supervisor that comes after a SIGKILL of this one."""
    kept = {"boot": _boot(), "entries": [asdict(entry) for entry in entries]}
    write_private(roster, json.dumps(kept, indent=1))


def sweep(roster: Path, folder: Path, *, patience_s: float = 5.0) -> list[str]:
    """End all that still runs from an earlier start on *folder*; return the names of it."""
    ended = end([*_recorded(roster), *marked(folder)], patience_s=patience_s)
    roster.unlink(missing_ok=True)
    return ended


def end(found: Iterable[Entry], *, patience_s: float = 5.0) -> list[str]:
    """End exactly these processes where they still run; return the names of those that did.

    Each gets its own stop signal, and SIGKILL after *patience_s* seconds.
    """
    held = {entry.pid: (handle, entry) for entry in found if (handle := _hold(entry)) is not None}
    try:
        _end([(handle, entry.stop_signal) for handle, entry in held.values()], patience_s)
    finally:
        for handle, _ in held.values():
            os.close(handle)
    return sorted(entry.name for _, entry in held.values())


def marked(folder: Path) -> Iterator[Entry]:
    """Yield every process that carries the mark of *folder*; those of other users are not seen."""
    mark = f"{MARK}={folder}".encode()
    for path in _PROC.glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                pid = int(path.parent.name)
                name = (path.parent / "comm").read_text(encoding="utf-8").strip()
                if pid != os.getpid() and (started := start_time(pid)) is not None:
                    yield Entry(name, pid, started, signal.SIGTERM)


def _recorded(roster: Path) -> list[Entry]:
    try:
        kept = json.loads(roster.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [Entry(**entry) for entry in kept["entries"]] if kept["boot"] == _boot() else []


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _hold(entry: Entry) -> int | None:
    """Return a pidfd of exactly this process, or None: it is gone."""
    try:
        handle = os.pidfd_open(entry.pid)
    except ProcessLookupError:
        return None
    if start_time(entry.pid) == entry.started:
        return handle
    os.close(handle)
    return None


def _end(held: list[tuple[int, int]], patience_s: float) -> None:
    for handle, first in held:
        _send(handle, first)
    for handle in _still_there([handle for handle, _ in held], patience_s):
        _send(handle, signal.SIGKILL)
    _still_there([handle for handle, _ in held], patience_s)


def _send(handle: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _still_there(handles: list[int], patience_s: float) -> set[int]:
    """Wait for all to end, *patience_s* seconds at most; return those that have not."""
    waiting = select.poll()
    for handle in handles:
        waiting.register(handle, select.POLLIN)
    left, until = set(handles), time.monotonic() + patience_s
    while left and (rest := until - time.monotonic()) > 0:
        for handle, _ in waiting.poll(rest * 1000):
            waiting.unregister(handle)
            left.discard(handle)
    return left
