"""Artifacts of this site: found beneath one folder, read once, verified, and given to serve.

The chunk list: first line `sprout-chunks 1 <size> <sha256>`, then a line
`<offset> <length> <sha256 | zero>` for each 4 MiB.
"""

import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from actors.site.store import AgentStore, Digest, FileKey
from models.bootplan import File
from pxe_stack.store import PlanStore

CHUNK: Final = 4 * 1024 * 1024
_ZEROS: Final = bytes(CHUNK)

log = structlog.get_logger()


class Unservable(Exception):
    """An artifact that a plan names cannot be served: missing, or not what was promised."""


class Unfetched(Unservable):
    """An artifact is not here and could not be had now: its plan waits, and is tried again.

    *expired*: the URL that it was to be fetched by has run out; a new registration brings another.
    """

    def __init__(self, why: str, *, expired: bool = False) -> None:
        super().__init__(why)
        self.expired = expired


class Artifacts:
    """What lies beneath *root*.  One file is read at a time."""

    def __init__(self, root: Path, store: AgentStore, plans: PlanStore) -> None:
        self._root = root
        self._store = store
        self._plans = plans
        self._reading = threading.Lock()

    def admit(self, file: File, url: str | None = None) -> None:
        """Have *file* served, after making sure that it is what it should be.

        *url* is where it can be fetched from, for a while.  Called from several threads.
        Raises Unfetched, and Unservable with a sentence for the operator.
        """
        location = self._located(file)
        with self._reading, _opened(location, file) as content:
            key = _key(location, content)
            digest = self._store.digest(key) or self._read(content, key, file)
        if file.size and key.size != file.size:
            raise Unservable(f"{file.path} has {key.size} bytes, the plan says {file.size}")
        if digest.sha256 != file.sha256.lower():
            raise Unservable(
                f"{file.path} has the SHA-256 {digest.sha256}, the plan says {file.sha256}"
            )
        served = self._plans.file(file.path)
        known = (location, digest.sha256, key.size, key.mtime_ns)
        if served is None or known != (
            served.location,
            served.sha256,
            served.size,
            served.mtime_ns,
        ):
            self._plans.put_file(
                file.path, location, sha256=digest.sha256, size=key.size, chunks=digest.chunks
            )

    def _located(self, file: File) -> Path:
        try:
            root = self._root.resolve(strict=True)
            location = (root / file.path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as exc:
            raise Unservable(f"{file.path} is not in the artifact folder of this site") from exc
        if not location.is_relative_to(root):
            raise Unservable(f"{file.path} leads out of the artifact folder")
        return location

    def _read(self, content: BinaryIO, key: FileKey, file: File) -> Digest:
        digest = read(content, key.size)
        if _key(Path(key.path), content) != key:
            raise Unservable(f"{file.path} changed while it was read")
        self._store.remember(key, digest)
        log.info("artifact.read", path=file.path, size=key.size, sha256=digest.sha256)
        return digest


def read(content: BinaryIO, size: int) -> Digest:
    """Return the digest of *content*, *size* bytes long, and its chunk list, in one reading."""
    whole = hashlib.sha256()
    lines: list[str] = []
    offset = 0
    while chunk := content.read(CHUNK):
        whole.update(chunk)
        mark = "zero" if chunk == _ZEROS[: len(chunk)] else hashlib.sha256(chunk).hexdigest()
        lines.append(f"{offset} {len(chunk)} {mark}\n")
        offset += len(chunk)
    head = f"sprout-chunks 1 {size} {whole.hexdigest()}\n"
    return Digest(whole.hexdigest(), head + "".join(lines))


def _opened(location: Path, file: File) -> BinaryIO:
    """Open what was located, and only that: no link may have taken its place."""
    try:
        descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise Unservable(f"{file.path} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unservable(f"{file.path} is no file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _key(location: Path, content: BinaryIO) -> FileKey:
    found = os.fstat(content.fileno())
    return FileKey(str(location), found.st_size, found.st_mtime_ns, found.st_ino)
