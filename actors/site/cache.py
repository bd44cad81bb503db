"""Artifacts that were fetched: by SHA-256, within a size, one fetch for all waiters.

    ab/cdef...          an artifact that was verified when it came
    partial/<sha256>    one on its way

Rule 1: what a plan needs that is held here is never dropped for another.
Rule 2: what was used longest ago goes first; the time of access says when that was.
"""

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from actors.drivers import reach
from actors.drivers.edge_line import Edge
from actors.drivers.elsewhere import Elsewhere
from actors.site.download import Bounds, Download, Source, Unfetched, Unservable
from actors.site.pace import Pace
from actors.site.store import Digest
from models.blobs import SHA256, place
from models.bootplan import File

PARTIAL: Final = "partial"
LEAST_RATE: Final = 10_000.0
"""Bytes a second that what comes from elsewhere has to come by, or is left for now."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Fetched = tuple[Path, Digest | None]
"""Where an artifact lies, and what it is: None where it was here already."""

log = structlog.get_logger()


def _public() -> Elsewhere:
    return Elsewhere(reach.integration(()))


@dataclass(frozen=True, slots=True)
class _Kept:
    used_ns: int
    size: int
    path: Path
    sha256: str


@dataclass
class Cache:
    """The cache in *folder*, of at most *capacity* bytes.  Safe to share between threads.

    *needed* returns the SHA-256 of every file that a plan held here needs.
    """

    folder: Path
    capacity: int
    edge: Edge
    needed: Callable[[], Collection[str]]
    elsewhere: Elsewhere = field(default_factory=_public)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _fetching: dict[str, "Future[Fetched]"] = field(default_factory=dict)
    _reserved: dict[str, int] = field(default_factory=dict)
    _downloads: dict[str, Download] = field(default_factory=dict)
    _wanted: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Have every fetch end soon; what has come of it is kept."""
        self._stop.set()

    def find(self, sha256: str) -> Path | None:
        """Return where the artifact lies, and note that it was used; None when it is not here."""
        if not SHA256.fullmatch(sha256):
            return None
        path = self.folder / place(sha256)
        try:
            found = path.stat()
            os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
        except OSError:
            return None
        return path

    def drop(self, sha256: str) -> None:
        """Remove an artifact that was found not to be what its name says."""
        (self.folder / place(sha256)).unlink(missing_ok=True)

    def progress(self, sha256: str) -> tuple[int, int]:
        """Return how many bytes have come of what is on its way, and of how many: 0 for unknown."""
        download = self._downloads.get(sha256)
        return (0, 0) if download is None else (download.come, download.size)

    @contextmanager
    def holding(self, sha256s: Collection[str]) -> Iterator[None]:
        """Have these be needed for the block, as what plans name is."""
        with self._lock:
            self._wanted.update(sha256s)
        try:
            yield
        finally:
            with self._lock:
                self._wanted.subtract(sha256s)

    def prune(self, keeps: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
        """Drop each file that no plan needs and that *keeps* says is not to be kept.

        Yields the SHA-256 and the size of what was dropped, one after another.
        """
        for each in tuple(self._kept()):
            if keeps(each.sha256):
                continue
            with self._lock:  # what is needed is asked anew before each: a plan may have come
                if each.sha256 in self._fetching or each.sha256 in self._held():
                    continue
                each.path.unlink(missing_ok=True)
            log.info("artifact.pruned", sha256=each.sha256, size=each.size)
            yield each.sha256, each.size

    def _held(self) -> set[str]:
        plans = {each.lower() for each in self.needed()}
        return plans | {each for each, count in self._wanted.items() if count > 0}

    def fetch(
        self,
        file: File,
        url: str,
        *,
        elsewhere: bool = False,
        seen: Callable[[int], None] = lambda _: None,
    ) -> Fetched:
        """Return where *file* lies, after fetching it from *url*: the edge's, or any server's.

        Whoever asks for the same meanwhile waits for the one fetch.  What comes from elsewhere has
        to come at some pace, and only for as long as it is needed.  *seen* is told how many bytes
        came, and may raise Unfetched.  Raises Unfetched, and Unservable.
        """
        sha256 = file.sha256.lower()
        if not SHA256.fullmatch(sha256):
            raise Unservable(f"{file.path} has no SHA-256 that it could be fetched by")
        ours: Future[Fetched] = Future()
        with self._lock:
            future = self._fetching.setdefault(sha256, ours)
        if future is not ours:
            return future.result()
        try:
            future.set_result(self._fetched(file, url, sha256, seen, elsewhere=elsewhere))
        except BaseException as exc:
            future.set_exception(exc)
            raise
        finally:
            with self._lock:
                del self._fetching[sha256]
                self._reserved.pop(sha256, None)
                self._downloads.pop(sha256, None)
        return future.result()

    def _fetched(
        self, file: File, url: str, sha256: str, seen: Callable[[int], None], *, elsewhere: bool
    ) -> Fetched:
        if (here := self.find(sha256)) is not None:
            return here, None  # its fetch ended between two looks
        partial = self.folder / PARTIAL / sha256
        path = self.folder / place(sha256)

        source: Source = self.elsewhere if elsewhere else self.edge
        goes_on = self._from_elsewhere() if elsewhere else self._goes_on

        def come(length: int) -> None:
            goes_on(file, length)
            seen(length)

        bounds = Bounds(lambda total: self._make_room(file, sha256, total), come)
        download = Download(source, file, partial, bounds, expires=not elsewhere)
        self._downloads[sha256] = download
        log.info("artifact.fetching", path=file.path, sha256=sha256)
        with _no_room(file):
            try:
                digest = download.run(url, self._stop)
            except Unfetched:
                raise
            except Unservable:
                partial.unlink(missing_ok=True)
                raise
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.replace(path)
            _sync(path.parent)
        log.info("artifact.fetched", path=file.path, size=path.stat().st_size, sha256=sha256)
        return path, digest

    def _goes_on(self, file: File, length: int) -> None:
        """Judge each *length* bytes that come of *file*.  Raises Unfetched."""
        if self._stop.is_set():
            raise Unfetched(f"{file.path} is fetched when the agent is back")

    def _from_elsewhere(self) -> Callable[[File, int], None]:
        """Return what judges also how fast it comes, and whether anybody still needs it."""
        pace = Pace(time.monotonic())

        def judge(file: File, length: int) -> None:
            self._goes_on(file, length)
            rate = pace.took(length, time.monotonic())
            if rate is None:
                return
            if rate < LEAST_RATE:
                raise Unfetched(f"{file.path} comes too slowly, {rate:.0f} bytes a second")
            with self._lock:
                needed = file.sha256.lower() in self._held()
            if not needed:
                raise Unfetched(f"{file.path} is needed by no plan any more")

        return judge

    def _make_room(self, file: File, sha256: str, size: int) -> None:
        """Drop what is not needed until *size* bytes fit.  Raises Unservable."""
        with self._lock:
            kept = [each for each in self._kept() if each.sha256 != sha256]
            under_way = sum(n for each, n in self._reserved.items() if each != sha256)
            over = size + under_way + sum(each.size for each in kept) - self.capacity
            held = self._held() if over > 0 else set()
            free = [each for each in sorted(kept, key=_use) if each.sha256 not in held]
            if over > sum(each.size for each in free):
                fixed = under_way + sum(each.size for each in kept) - sum(e.size for e in free)
                raise Unservable(
                    f"{file.path} has {size} bytes and does not fit: the cache of this site holds "
                    f"{self.capacity} bytes (SPROUT_CACHE_BYTES), {fixed} of them in use"
                )
            for each in _first(free, over):
                each.path.unlink(missing_ok=True)
                log.info("artifact.dropped", sha256=each.sha256, size=each.size)
            self._reserved[sha256] = size

    def _kept(self) -> Iterator[_Kept]:
        """Yield what lies here; what is on its way counts by what it will be."""
        for path in self.folder.glob("*/*"):
            partial = path.parent.name == PARTIAL
            sha256 = path.name if partial else path.parent.name + path.name
            if not (partial and sha256 in self._reserved):
                with suppress(OSError):
                    found = path.stat()
                    yield _Kept(found.st_atime_ns, found.st_size, path, sha256)


def _use(kept: _Kept) -> int:
    return kept.used_ns


def _first(kept: Collection[_Kept], bytes_wanted: int) -> Iterator[_Kept]:
    """Yield as many of *kept* as have *bytes_wanted*."""
    for each in kept:
        if bytes_wanted <= 0:
            return
        bytes_wanted -= each.size
        yield each


@contextmanager
def _no_room(file: File) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        why = "the disk is full" if exc.errno in _FULL else exc.strerror
        raise Unfetched(f"{file.path} cannot be kept here: {why}") from exc


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
