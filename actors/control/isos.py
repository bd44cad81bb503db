"""Prepares installers' ISOs: what is made of one comes among the blobs, under its SHA-256.

Rule 1: the ISO is only read, and stays what it was.
Rule 2: a part is a blob when it is whole and on the disk; one that was made before stays.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.control.errand import Job, Means
from actors.drivers.errors import Refused, Unreachable
from models.blobs import place
from models.commands import preparing
from models.commands.preparing import Source
from models.database import borrowed

if TYPE_CHECKING:
    from actors.drivers.installer_iso import Part

TELL_S: Final = 1.0
"""Between two notes of how far a preparation is."""

FOLDER: Final = "preparing"
"""Below the folder of blobs: what is not whole yet."""

OLD_S: Final = 24 * 3600.0
"""After which nobody works there any more: longer than any errand."""

_PIECE: Final = 1 << 20


def prepare(job: Job, means: Means) -> Mapping[str, Any]:
    """Take an ISO apart; return what was made of it.  Raises Refused, Unreachable and LeaseLost."""
    from actors.drivers import installer_iso  # noqa: PLC0415 - large, and rarely needed

    with borrowed():
        asked = preparing.begin(job.held.subject)
    source = _source(asked, means)
    with _opened_up(source):
        progress = _Progress(job, 2 * source.stat().st_size)
        sha256 = _sum(source, progress)
        with _folder(means) as folder:
            made = installer_iso.made(source, folder, progress.add)
            parts = {"kernel": made.kernel, "initrd": made.initrd, "iso": made.iso}
            for part in parts.values():
                job.check()
                _keep(folder / part.name, part, means.blob_dir)
    told = {role: _told(part) for role, part in parts.items()}
    return {"release": made.about.release, "source": sha256, "parts": told}


class _Progress:
    """Counts bytes, tells them now and then, and ends the work when the errand is another's."""

    def __init__(self, job: Job, total: int) -> None:
        self._job, self._total, self._done = job, total, 0
        self._tell_at = 0.0

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() < self._tell_at:
            return
        self._job.check()
        self._tell_at = time.monotonic() + TELL_S
        with borrowed():
            preparing.told(self._job.held.subject, done=self._done, total=self._total)


def _source(asked: Source, means: Means) -> Path:
    if asked.path:
        return _below(means.artifact_dir, asked.path)
    found = means.blob_dir / place(asked.sha256)
    if not found.is_file():
        raise Refused(
            f"no blob {asked.sha256} is in {means.blob_dir}, as control sees it:"
            " upload the ISO, and let control have the edge's folder of blobs"
        )
    return found


def _below(root: Path, path: str) -> Path:
    try:
        folder = root.resolve(strict=True)
        found = (folder / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise Refused(f"{path} is not in the artifact folder {root}") from None
    if not (found.is_relative_to(folder) and found.is_file()):
        raise Refused(f"{path} is no file in the artifact folder {root}")
    return found


@contextmanager
def _opened_up(source: Path) -> Iterator[None]:
    """Say what the disk says; without room, or with a bad disk, it may pass."""
    try:
        yield
    except OSError as exc:
        raise Unreachable(f"{source.name} cannot be prepared: {exc.strerror}") from exc


def _sum(source: Path, progress: _Progress) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            progress.add(len(piece))
    return digest.hexdigest()


@contextmanager
def _folder(means: Means) -> Iterator[Path]:
    root = means.blob_dir / FOLDER
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(root)
    made = Path(tempfile.mkdtemp(dir=root))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Drop what processes left that died."""
    for each in root.iterdir():
        with suppress(FileNotFoundError):
            if each.stat().st_mtime < time.time() - OLD_S:
                shutil.rmtree(each, ignore_errors=True)


def _keep(made: Path, part: "Part", blobs: Path) -> None:
    kept = blobs / place(part.sha256)
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sync(made)
    made.replace(kept)
    _sync(kept.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _told(part: "Part") -> dict[str, Any]:
    return {"name": part.name, "size": part.size, "sha256": part.sha256}
