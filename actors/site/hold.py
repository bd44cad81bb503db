"""One supervisor over one store: it holds `lock` in the site's folder for as long as it lives.

The processes that it forks hold it with it, so that a second one begins only when all have ended.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Final

LOCK: Final = "lock"
YIELDED: Final = "yielded"
"""Beside it where this site was told to yield to another with the same agent's id."""

PATIENCE_S: Final = 2.0
"""How long the processes of one that was killed have to end; they die with it."""

_LOOK_S: Final = 0.05


class Occupied(Exception):
    """Another site runs over this store; its text names the process."""


def take(directory: Path, patience_s: float = PATIENCE_S) -> IO[str]:
    """Return the lock of *directory*, held until it is closed.  Raises Occupied.

    Nothing else in the folder is read or written but the mark of having yielded.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (directory / LOCK).open("a+")
    until = time.monotonic() + patience_s
    while not _locked(lock):
        if time.monotonic() >= until:
            lock.seek(0)
            holder = lock.read(32).strip() or "another process"
            lock.close()
            raise Occupied(f"a site runs over {directory} already (pid {holder}): end it first.")
        time.sleep(_LOOK_S)
    if (directory / YIELDED).exists():
        lock.close()
        raise Occupied(
            f"{directory} was copied: another site runs with the agent's id that is in it.  To be "
            "an agent of its own, this one needs an empty SPROUT_SITE_DIR; to take the other's "
            f"place, end that one and remove {directory / YIELDED}."
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def give_up(directory: Path) -> None:
    """Leave the mark by which no site starts over *directory* until somebody has looked."""
    (directory / YIELDED).touch()


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
