"""Processes that die with us, and that can be told from a later one with the same id."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process id and what makes it unique: the clock tick it started at, and the host's boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raise ProcessLookupError when there is no such process."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            raise ProcessLookupError(pid) from None
        # The name, field 2, may hold spaces and brackets; field 22 is the start time (proc(5)).
        started = int(stat.rpartition(")")[2].split()[19])
        return cls(pid, started, _BOOT_ID.read_text().strip())

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raise ValueError when *line* was not written by us."""
        pid, started, boot = line.split()
        return cls(int(pid), int(started), boot)

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"


def start(
    words: Sequence[str], *, folder: Path, log: Path, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a child that the kernel kills when the calling thread ends, however it ends.

    The thread counts, not the process (prctl(2), PR_SET_PDEATHSIG): call this from a thread
    that lives as long as the child may.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *_while_we_live(), *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
        )


def _while_we_live() -> list[str]:
    """Return words that run what follows only if we live still.

    Whoever lost its parent before it asked for the death signal never gets one: it looks once more
    after it has asked.
    """
    return ["sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]


def kill(identity: Identity) -> bool:
    """Kill that very process; return False when it is gone, also when its id is another's now."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        # Compared after opening: from here on the handle cannot become another process.
        if Identity.of(identity.pid) != identity:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
