"""Reports of machines that take inventory: parts as they come, then a file that is whole.

    reports/<run>/<number>    a part, as the machine sent it last
    reports/<run>.report      all of them, with the SHA-256 that the machine told

Nothing is fsynced: what a power cut takes away, the machine is asked for again by its next run.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final
from uuid import UUID

from models.hardware import MOST_BYTES
from pxe_stack.forms import LARGEST

FOLDER: Final = "reports"
MOST_PARTS: Final = 2 * MOST_BYTES // LARGEST
MOST_RUNS: Final = 256
"""Runs whose report is kept here: those that came last."""


class Reports:
    """The *folder* of them; processes share it, and each part has one writer: its machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, run: UUID, number: int, part: bytes) -> bool:
        """Keep one part; False where it cannot be one.  Raises OSError."""
        if not 0 <= number < MOST_PARTS or len(part) > LARGEST:
            return False
        folder = self._folder / str(run)
        if not folder.exists():
            self._forget(MOST_RUNS - 1)
            folder.mkdir(mode=0o700, parents=True)
        new = folder / f"{number}.new"
        new.write_bytes(part)
        new.replace(folder / str(number))
        return True

    def seal(self, run: UUID, sha256: str, parts: str = "") -> bool:
        """Make one report of the parts of *run*; whether they are what the machine says of them.

        It may say so again, and tells how many *parts* they are: a boot that did not come to its
        end may have left more.  Raises OSError.
        """
        most = int(parts) if parts.isascii() and parts.isdigit() and len(parts) < 9 else MOST_PARTS
        sealed = self._folder / f"{run}.report"
        folder = self._folder / str(run)
        content = sealed.read_bytes() if sealed.exists() else _joined(folder, most)
        if hashlib.sha256(content).hexdigest() != sha256 or len(content) > MOST_BYTES:
            return False
        if not sealed.exists():
            new = sealed.with_suffix(".new")
            new.write_bytes(content)
            new.replace(sealed)
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def read(self, run: UUID) -> bytes | None:
        """Return the whole report of *run*, None where there is none.  Raises OSError."""
        try:
            return (self._folder / f"{run}.report").read_bytes()
        except FileNotFoundError:
            return None

    def _forget(self, most: int) -> None:
        """Leave the newest *most* runs, whole or not."""
        paths = sorted(self._folder.glob("*"), key=_changed_at, reverse=True)
        for path in paths[most:]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _joined(folder: Path, most: int) -> bytes:
    """Return the parts from 0 on, *most* of them, up to the first that is not there."""
    content = bytearray()
    for number in range(min(most, MOST_PARTS)):
        path = folder / str(number)
        if not path.exists():
            break
        content += path.read_bytes()
    return bytes(content)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
