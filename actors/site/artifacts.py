"""Artifacts of this site: in its artifact folder, in its cache, or fetched.

Each is read once, verified, and given to serve under the path that plans have for it.  What the
edge has is waited for; what lies elsewhere comes beside, however long that takes.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn
from urllib.parse import urlsplit

import structlog

from actors.site import sums
from actors.site.apart import Apart, Pending
from actors.site.cache import Cache
from actors.site.download import Fetching, Unfetched, Unservable
from actors.site.store import AgentStore, Digest, FileKey
from models.bootplan import File
from pxe_stack.store import PlanStore

__all__ = ["Artifacts", "Fetching", "Unfetched", "Unservable"]

FAR_THREADS: Final = 4
"""Artifacts that come from elsewhere at once."""

Found = tuple[Path, FileKey, Digest]


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a file is to be had: at the edge, or elsewhere, which is then asked first.

    *seen* is told how many bytes came, and may raise Unfetched.
    """

    url: str | None
    elsewhere: str | None
    seen: Callable[[int], None]


log = structlog.get_logger()


class Artifacts:
    """What lies beneath *root*, and in the *cache*.  One file is read at a time."""

    def __init__(
        self, root: Path, store: AgentStore, plans: PlanStore, cache: Cache | None = None
    ) -> None:
        self._root = root
        self._store = store
        self._plans = plans
        self._cache = cache
        self._reading = threading.Lock()
        self.far = Apart(FAR_THREADS)
        """What comes from elsewhere; it tells when something has ended."""

    def admit(self, file: File, url: str | None = None, elsewhere: str | None = None) -> None:
        """Have *file* served, after making sure that it is what it should be.

        *url* is where the edge has it, for a while; *elsewhere* is where another server has it,
        which is then asked first.  Called from several threads.  Raises Fetching and Unfetched,
        and Unservable with a sentence for the operator.
        """
        try:
            location, key, digest = self._local(file)
        except Unservable:
            found = self._cached(file) or self._fetched(file, url, elsewhere)
            if found is None:
                raise
            location, key, digest = found
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

    def held(self, file: File) -> int | None:
        """Return the bytes of *file* where it is here, and what it should be; else None."""
        try:
            return self._local(file)[1].size
        except Unservable:
            found = self._cached(file)
        return None if found is None else found[1].size

    def bring(self, file: File, asked: Asked) -> int:
        """Fetch *file* into the cache, and return its bytes when it is there.

        Raises Unfetched, and Unservable with a sentence for the operator.
        """
        if self._cache is None or not (asked.url or asked.elsewhere):
            raise Unservable(f"{file.path} is not at this site, and nothing says where it is")
        if asked.elsewhere:
            try:
                come = self._cache.fetch(file, asked.elsewhere, elsewhere=True, seen=asked.seen)
                return self._brought(file, *come)[1].size
            except Unfetched:
                raise
            except Unservable as exc:
                return self._had_all_the_same(self._cache, file, asked.url, exc)[1].size
        come = self._cache.fetch(file, asked.url or "", seen=asked.seen)
        return self._brought(file, *come)[1].size

    def places(self, file: File) -> Iterator[tuple[Path, bool]]:
        """Yield where *file* lies at this site, and whether that is the cache."""
        with suppress(Unservable):
            yield self._located(file), False
        cached = None if self._cache is None else self._cache.find(file.sha256.lower())
        if cached is not None:
            yield cached, True

    def reread(self, file: File, location: Path, seen: Callable[[int], None]) -> int:
        """Return the bytes of *file*, hashed again at *location*, whatever was remembered of it.

        *seen* is told how far it is, and may raise.  Raises Unservable where it is another.
        """
        with _opened(location, file) as content:
            key = _key(location, content)
            digest = sums.read(content, seen)
            if _key(location, content) != key:
                raise Unservable(f"{file.path} changed while it was read")
            self._store.remember(key, digest)
        _demand(file, key, digest)
        return key.size

    def close(self) -> None:
        """Have what is being fetched end soon."""
        self.far.close()
        if self._cache is not None:
            self._cache.close()

    def _local(self, file: File) -> Found:
        location = self._located(file)
        return location, *self._verified(file, location)

    def _cached(self, file: File) -> Found | None:
        if self._cache is None or (location := self._cache.find(file.sha256.lower())) is None:
            return None
        try:
            return location, *self._verified(file, location)
        except Unservable:
            log.warning("artifact.spoiled", path=file.path, sha256=file.sha256)
            self._cache.drop(file.sha256.lower())
            return None

    def _fetched(self, file: File, url: str | None, elsewhere: str | None) -> Found | None:
        if self._cache is None:
            return None
        if elsewhere is None:
            return None if url is None else self._brought(file, *self._cache.fetch(file, url))
        try:
            self._come_from(self._cache, file, elsewhere)
        except Unfetched:
            raise
        except Unservable as exc:
            return self._had_all_the_same(self._cache, file, url, exc)

    def _had_all_the_same(
        self, cache: Cache, file: File, url: str | None, never: Unservable
    ) -> Found:
        """Return *file* from the edge, if that has it, since it will *never* come otherwise."""
        if url is None:
            raise never
        try:
            return self._brought(file, *cache.fetch(file, url))
        except Unservable:
            raise never from None

    def _come_from(self, cache: Cache, file: File, url: str) -> NoReturn:
        """Begin to fetch *file* from elsewhere, once for all who want it.  Raises Fetching."""
        sha256 = file.sha256.lower()

        def work() -> None:
            self._brought(file, *cache.fetch(file, url, elsewhere=True))

        try:
            self.far.take(sha256, work)
        except Pending:
            come, size = cache.progress(sha256)
            raise Fetching(_progress(file, url, come, size), come=come, size=size) from None

    def _brought(self, file: File, location: Path, digest: Digest | None) -> Found:
        if digest is not None:
            with _opened(location, file) as content:
                self._store.remember(_key(location, content), digest)
        return location, *self._verified(file, location)

    def _located(self, file: File) -> Path:
        try:
            root = self._root.resolve(strict=True)
            location = (root / file.path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as exc:
            raise Unservable(f"{file.path} is not in the artifact folder of this site") from exc
        if not location.is_relative_to(root):
            raise Unservable(f"{file.path} leads out of the artifact folder")
        return location

    def _verified(self, file: File, location: Path) -> tuple[FileKey, Digest]:
        with _opened(location, file) as content:
            key = _key(location, content)
            digest = self._store.digest(key) or self._read(content, key, file)
        _demand(file, key, digest)
        return key, digest

    def _read(self, content: BinaryIO, key: FileKey, file: File) -> Digest:
        with self._reading:
            if (known := self._store.digest(key)) is not None:
                return known  # read while this one waited
            digest = sums.read(content)
            if _key(Path(key.path), content) != key:
                raise Unservable(f"{file.path} changed while it was read")
            self._store.remember(key, digest)
        log.info("artifact.read", path=file.path, size=key.size, sha256=digest.sha256)
        return digest


def _demand(file: File, key: FileKey, digest: Digest) -> None:
    if file.size and key.size != file.size:
        raise Unservable(f"{file.path} has {key.size} bytes, the plan says {file.size}")
    if digest.sha256 != file.sha256.lower():
        raise Unservable(
            f"{file.path} has the SHA-256 {digest.sha256}, the plan says {file.sha256}"
        )


def _progress(file: File, url: str, come: int, size: int) -> str:
    share = f": {come >> 20} of {size >> 20} MiB" if size else ""
    return f"{file.path} is being fetched from {urlsplit(url).hostname}{share}"


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
