"""Blobs on their way into the edge's folder: resumed, verified, and visible only then.

    uploads/<holder>.<sha256>.part    what has come so far; each holder has its own
    uploads/<holder>.<sha256>.done    how many bytes a holder's blob took of what it was granted

Rule 1: bytes are written at their offset, and only where they join what came before: writers of
        one part may meet, and repeat one another.
Rule 2: whoever sees a part whole verifies it under its lock; then it is renamed, or dropped.
Rule 3: a part that is no longer under its name is not written to, whoever still has it open.
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

import structlog

from edge.errors import BlobTooLarge, DiskFull, Gap, Malformed, Mismatch
from models.blobs import place

UPLOADS: Final = "uploads"
OFFSET: Final = "Upload-Offset"
BLOCK: Final = 1024 * 1024
KEPT_S: Final = 48 * 3600.0
"""How long a part that nobody goes on with is kept: longer than a right to upload."""

SWEEP_S: Final = 3600.0

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RANGE: Final = r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})"
"""The form of Content-Range."""
_RANGE: Final = re.compile(RANGE)

Read = Callable[[int], bytes]
"""Returns up to so many bytes of a body, none at its end; raises OSError when it broke off."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a blob of *total* bytes: *length* of them from *start*."""

    start: int
    length: int
    total: int


@dataclass(frozen=True, slots=True)
class Came:
    """How far an upload has come; *whole*: it is verified and visible."""

    offset: int
    whole: bool


def part(content_range: str | None, length: int) -> Part:
    """Return which bytes a body of *length* is (RFC 9110 §14.4); without a range, all.

    Raises Malformed.
    """
    if content_range is None:
        return Part(0, length, length)
    match = _RANGE.fullmatch(content_range.strip())
    if match is None:
        raise Malformed("want `Content-Range: bytes FIRST-LAST/TOTAL`")
    first, last, total = map(int, match.groups())
    if not first <= last < total:
        raise Malformed("the range of Content-Range lies outside its own total")
    if last - first + 1 != length:
        raise Malformed("Content-Range and Content-Length tell of different lengths")
    return Part(first, length, total)


class Uploads:
    """Takes blobs in.  Safe to share between threads, and between processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploads = folder / UPLOADS
        self._swept_at = float("-inf")

    def offset(self, sha256: str, holder: str) -> int:
        """Return how many bytes of a blob have come from *holder*."""
        try:
            return self._path(sha256, holder, "part").stat().st_size
        except OSError:
            return 0

    def receive(self, sha256: str, holder: str, found: Part, read: Read, *, most: int) -> Came:
        """Write what *read* gives, and make the blob visible when it is whole.

        *most* bytes in all may come from *holder*.  Raises BlobTooLarge, Gap, Mismatch, DiskFull,
        and Malformed for a body that ends early; what had come by then is kept.
        """
        self._sweep()
        spent = self._spent(holder, but=sha256)
        if spent + found.total > most:
            raise BlobTooLarge(f"{max(0, most - spent)} bytes more may be uploaded by this right")
        path = self._path(sha256, holder, "part")
        with _no_room(path), self._opened(path) as content:
            _write(content, path, found, read)
            os.fsync(content.fileno())
            with _locked(content, path):
                offset = os.fstat(content.fileno()).st_size
                if offset < found.total:
                    return Came(offset, whole=False)
                self._finish(content, path, sha256)
            self._path(sha256, holder, "done").write_text(str(offset), encoding="ascii")
        return Came(offset, whole=True)

    def _finish(self, content: FileIO, path: Path, sha256: str) -> None:
        content.seek(0)
        if hashlib.file_digest(content, "sha256").hexdigest() != sha256:
            path.unlink()
            raise Mismatch("what was uploaded has another SHA-256; it is dropped")
        place_of_it = self._folder / place(sha256)
        place_of_it.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(place_of_it)
        for folder in (place_of_it.parent, self._folder):
            _sync(folder)

    def _spent(self, holder: str, *, but: str) -> int:
        """Return the bytes that *holder* has taken with other blobs."""
        taken = 0
        for each in self._uploads.glob(f"{_name(holder)}.*"):
            if but not in each.name:
                with suppress(OSError, ValueError):
                    done = each.suffix == ".done"
                    taken += int(each.read_text()) if done else each.stat().st_size
        return taken

    def _path(self, sha256: str, holder: str, kind: str) -> Path:
        return self._uploads / f"{_name(holder)}.{sha256}.{kind}"

    def _opened(self, path: Path) -> FileIO:
        self._uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return FileIO(os.open(path, how, 0o600), "r+", closefd=True)

    def _sweep(self) -> None:
        """Drop what nobody has gone on with, now and then."""
        if time.monotonic() - self._swept_at < SWEEP_S:
            return
        self._swept_at = time.monotonic()
        long_ago = time.time() - KEPT_S
        for each in self._uploads.glob("*"):
            with suppress(OSError):
                if each.stat().st_mtime < long_ago:
                    each.unlink()
                    log.info("blob.swept", name=each.name)


def _write(content: FileIO, path: Path, found: Part, read: Read) -> None:
    have = os.fstat(content.fileno()).st_size
    if found.start > have:
        raise Gap(f"{have} bytes have come, and these begin at {found.start}", headers=_at(have))
    at, end = found.start, found.start + found.length
    while at < end:
        try:
            piece = read(min(BLOCK, end - at))
        except OSError:
            piece = b""
        if not piece:
            os.fsync(content.fileno())
            raise Malformed(f"the body ended {end - at} bytes early", headers=_at(at))
        with _locked(content, path):
            _write_all(content.fileno(), piece, at)
        at += len(piece)


def _write_all(descriptor: int, piece: bytes, at: int) -> None:
    left = memoryview(piece)
    while left:
        count = os.pwrite(descriptor, left, at)
        left, at = left[count:], at + count


@contextmanager
def _locked(content: FileIO, path: Path) -> Iterator[None]:
    """The part is nobody else's for the block.  Raises Gap when it is no longer under its name."""
    fcntl.flock(content, fcntl.LOCK_EX)
    try:
        try:
            there = path.stat().st_ino == os.fstat(content.fileno()).st_ino
        except FileNotFoundError:
            there = False
        if not there:
            raise Gap("somebody else has ended this upload; ask how far it is", headers=_at(0))
        yield
    finally:
        fcntl.flock(content, fcntl.LOCK_UN)


@contextmanager
def _no_room(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        have = path.stat().st_size if path.exists() else 0
        raise DiskFull("no room is left for this blob", headers=_at(have)) from exc


def _at(offset: int) -> dict[str, str]:
    return {OFFSET: str(offset)}


def _name(holder: str) -> str:
    return hashlib.sha256(holder.encode()).hexdigest()[:32]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
