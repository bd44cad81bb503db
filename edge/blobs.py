"""Blobs on the edge's disk: its own folder of them, and files of the artifact folder.

ab/cdef...          a blob: it lies there because its content was verified, and never changes
verified/<name>     what a file of the artifact folder was found to be, so that it is read once
uploads/            what is on its way here (edge.uploads)
"""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

import structlog

from edge.errors import Busy
from models.blobs import place
from pxe_stack import files
from pxe_stack.directory import StoredFile

BLOCK: Final = 1024 * 1024
VERIFIED: Final = "verified"

TRANSFERS: Final = 4
"""Blobs that one process moves at once: each holds a thread, as pages and streams do."""

log = structlog.get_logger()


class Places:
    """As many places as blobs may be moved at once."""

    def __init__(self, count: int = TRANSFERS) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for the block.  Raises Busy."""
        self._take()
        try:
            yield
        finally:
            self._free.release()

    def opened(self, stored: StoredFile) -> FileIO:
        """Open a blob to be sent: it has a place until it is closed.

        Raises Busy, and files.Changed.
        """
        with files.opened(stored) as found:
            self._take()
            return _Sent(os.dup(found.fileno()), self._free.release)

    def _take(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Busy("too many blobs are being moved", headers={"Retry-After": "1"})


class _Sent(FileIO):
    """A file that tells once when it is closed."""

    def __init__(self, descriptor: int, closed: Callable[[], None]) -> None:
        super().__init__(descriptor)
        self._tell = closed

    def close(self) -> None:
        super().close()
        tell, self._tell = self._tell, _nothing
        tell()


def _nothing() -> None:
    pass


class Shelf:
    """Finds blobs.  Safe to share between threads, and between processes."""

    def __init__(self, folder: Path, artifacts: Path) -> None:
        self.folder = folder
        self._artifacts = artifacts
        self._verified = folder / VERIFIED
        self._reading = threading.Lock()

    def own(self, sha256: str) -> StoredFile | None:
        """Return the blob of our folder, or None."""
        return _stored(self.folder / place(sha256), sha256)

    def drop(self, sha256: str) -> None:
        """Forget a blob of our folder; who reads it now reads on."""
        (self.folder / place(sha256)).unlink(missing_ok=True)

    def find(self, sha256: str, named: Callable[[], Iterable[str]]) -> StoredFile | None:
        """Return the blob, from our folder or where a path of *named* below the artifacts has it.

        None when none of them is what it should be.  The first time a file is asked for, it is
        read whole.
        """
        if (own := self.own(sha256)) is not None:
            return own
        for path in named():
            location = self._located(path)
            if location is None:
                log.info("blob.missing", path=path)
            elif self._digest(location) == sha256:
                return _stored(location, sha256)
            else:
                log.warning("blob.changed", path=path, sha256=sha256)
        return None

    def _located(self, path: str) -> Path | None:
        try:
            root = self._artifacts.resolve(strict=True)
            location = (root / path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return None
        return location if location.is_relative_to(root) and location.is_file() else None

    def _digest(self, location: Path) -> str:
        """Return the file's SHA-256, read once while its path, size, time and inode stay."""
        name = hashlib.sha256(os.fsencode(location)).hexdigest()
        memo = self._verified / name
        with self._reading:
            try:
                with _opened(location) as content:
                    key = _key(content)
                    known, _, digest = _text(memo).partition(" = ")
                    if known == key:
                        return digest
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                    changed = _key(content) != key
            except OSError as exc:
                log.warning("blob.unreadable", path=str(location), why=exc.strerror)
                return ""
            if not changed:
                _keep(memo, f"{key} = {digest}")
            return "" if changed else digest


def _stored(location: Path, sha256: str) -> StoredFile | None:
    try:
        found = location.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return StoredFile(sha256, location, sha256, found.st_size, found.st_mtime_ns)


def _opened(location: Path) -> FileIO:
    """Open what was located and only that: no link and no pipe may have taken its place."""
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    return FileIO(os.open(location, how), closefd=True)


def _key(content: FileIO) -> str:
    found = os.fstat(content.fileno())
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _text(memo: Path) -> str:
    try:
        return memo.read_text(encoding="ascii")
    except OSError:
        return ""


def _keep(memo: Path, text: str) -> None:
    """Write *memo* whole or not at all; without room it is read again next time."""
    new = memo.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        memo.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(text, encoding="ascii")
        new.replace(memo)
