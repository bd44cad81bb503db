"""Sync jobs at a site: an artifact store's files fetched ahead, hashed again, or dropped.

Rule 1: what is here and right is not fetched again; what came in part is gone on with.
Rule 2: a file is looked at by its SHA-256 alone: what came wrong is never visible.
Rule 3: one bad file does not keep the others waiting; each is told of.
Rule 4: without its lease a job does nothing more, in the middle of a file too.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost, Refused, Unreachable
from actors.site.artifacts import Artifacts, Asked
from actors.site.cache import Cache
from actors.site.download import Unfetched, Unservable
from actors.site.orders import Order
from actors.site.warrant import Warrant
from models import keeping
from models.bootplan import File
from models.errors import Invalid
from models.job_views import Mode

MOST: Final = 100
"""Findings that are told of; the others are counted."""


class _Stopped(Unfetched):
    """The job may not go on."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a task was told; *needed* are beginnings of SHA-256s, for a prune."""

    mode: Mode
    files: tuple[File, ...]
    blobs: Mapping[str, str]
    origins: Mapping[str, str]
    needed: frozenset[str]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return what *params* tell.  Raises Refused for what is malformed."""
        try:
            files = tuple(_file(each) for each in params.get("files", ()))
            edge, other = dict(params.get("blobs") or {}), dict(params.get("origins") or {})
            needed = keeping.heard(str(params.get("needed") or ""))
            return cls(Mode(params["mode"]), files, edge, other, needed)
        except (KeyError, TypeError, ValueError, AttributeError, Invalid) as exc:
            raise Refused(f"the sync job is malformed: {exc!r}") from exc


def _file(told: Mapping[str, Any]) -> File:
    sha256, size = str(told["sha256"]).lower(), int(told["size"])
    return File(role="sync", path=str(told["path"]), sha256=sha256, size=size)


@dataclass(slots=True)
class _Work:
    """One job under way: how far it is, what was found, and whether it may go on."""

    told: _Told
    deadline: Deadline
    warrant: Warrant
    files_done: int = 0
    bytes_done: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, str]] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)
    broken: bool = False

    def counts(self, come: int = 0) -> dict[str, int]:
        """Return how far it is, *come* bytes of the file in hand included."""
        counts = {
            "files_done": self.files_done,
            "files_total": len(self.told.files) or self.files_done,
            "bytes_done": self.bytes_done + come,
        }
        known = [self.sizes.get(file.sha256) or file.size for file in self.told.files]
        return counts | ({"bytes_total": sum(known)} if known and all(known) else {})

    def go_on(self, doing: str, come: int = 0) -> None:
        """Tell how far it is.  Raises LeaseLost or Unreachable where it must end."""
        self.warrant.demand_valid()
        if self.deadline.left <= 0:
            raise Unreachable("its time is over; the next task goes on from here")
        self.warrant.progress(doing, counts=self.counts(come))

    def found(self, file: File, what: str, detail: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append({"path": file.path, "what": what, "detail": detail})

    def passed(self, file: File, size: int) -> None:
        self.files_done += 1
        self.bytes_done += size
        self.sizes[file.sha256] = size

    def result(self, told: str) -> dict[str, Any]:
        found = {"counts": self.counts(), "findings": self.findings, "told": told}
        return found | ({"failed": True} if self.broken else {})


@dataclass(frozen=True, slots=True)
class Syncs:
    """Does sync jobs with the site's *artifacts* and their *cache*."""

    artifacts: Artifacts
    cache: Cache

    def perform(self, order: Order, deadline: Deadline, warrant: Warrant) -> dict[str, Any]:
        """Do what *order* tells, and return what came of it.  Raises DriverError."""
        work = _Work(_Told.of(order.params), deadline, warrant)
        try:
            with self.cache.holding([file.sha256 for file in work.told.files]):
                return _DOES[work.told.mode](self, work)
        finally:
            warrant.progress.at_once("ending", counts=work.counts())

    def preseed(self, work: _Work) -> dict[str, Any]:
        """Have every file here.  Raises Unreachable where some cannot be had now."""
        for file in work.told.files:
            work.go_on(f"looking at {file.path}")
            try:
                work.passed(file, self._had(work, file))
            except _Stopped:
                work.go_on(f"fetching {file.path}")  # which says why it must end
                raise Unreachable(f"{file.path} was stopped") from None
            except Unfetched as exc:
                work.passing.append(str(exc))
            except Unservable as exc:
                work.found(file, "failed", str(exc))
                work.broken = True
        if work.passing:
            raise Unreachable(_first(work.passing))
        return work.result(_preseeded(work))

    def verify(self, work: _Work) -> dict[str, Any]:
        """Hash again all that is here, and drop from the cache what is not right."""
        for file in work.told.files:
            work.go_on(f"reading {file.path}")
            sizes = [self._reread(work, file, each) for each in self.artifacts.places(file)]
            if not sizes:
                work.found(file, "missing", f"{file.path} is not at this site")
            work.passed(file, max((size for size in sizes if size), default=0))
        return work.result(_verified(work))

    def refresh(self, work: _Work) -> dict[str, Any]:
        """Hash again all that is here, and fetch what is wrong or missing."""
        self.verify(work)
        again = _Work(work.told, work.deadline, work.warrant)
        again.findings = [each for each in work.findings if each["what"] != "missing"]
        return self.preseed(again)

    def prune(self, work: _Work) -> dict[str, Any]:
        """Drop from the cache what no image and no plan needs."""

        def keeps(sha256: str) -> bool:
            work.go_on(f"dropped {work.files_done} files")
            return keeping.keeps(work.told.needed, sha256)

        for _, size in self.cache.prune(keeps):
            work.files_done += 1
            work.bytes_done += size
        return work.result(f"dropped {work.files_done} files, {work.bytes_done >> 20} MiB")

    def _had(self, work: _Work, file: File) -> int:
        held = self.artifacts.held(file)
        if held is not None:
            return held
        url = work.told.blobs.get(file.sha256)
        asked = Asked(url, work.told.origins.get(file.sha256), self._watched(work, file))
        size = self.artifacts.bring(file, asked)
        work.found(file, "fetched", f"{size} bytes")
        return size

    def _watched(self, work: _Work, file: File) -> Callable[[int], None]:
        def seen(_: int) -> None:
            come, size = self.cache.progress(file.sha256)
            if size:
                work.sizes[file.sha256] = size
            try:
                work.go_on(f"fetching {file.path}: {come >> 20} of {size >> 20} MiB", come)
            except (LeaseLost, Unreachable) as exc:  # others may wait for the same fetch
                raise _Stopped(f"{file.path}: {exc}") from exc

        return seen

    def _reread(self, work: _Work, file: File, place: tuple[Path, bool]) -> int | None:
        location, cached = place

        def seen(come: int) -> None:
            work.go_on(f"reading {file.path}: {come >> 20} MiB", come)

        try:
            return self.artifacts.reread(file, location, seen)
        except Unservable as exc:
            if cached:
                self.cache.drop(file.sha256)
            work.found(file, "dropped" if cached else "differs", str(exc))
            return None


def _first(reasons: Collection[str]) -> str:
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{next(iter(reasons))}{more}"


def _of(work: _Work, what: str) -> list[str]:
    return [each["detail"] for each in work.findings if each["what"] == what]


def _preseeded(work: _Work) -> str:
    failed, fetched = _of(work, "failed"), len(_of(work, "fetched"))
    if failed:
        return f"{len(failed)} of {len(work.told.files)} files cannot be had: {_first(failed)}"
    return f"{work.files_done} files are here, {fetched} of them fetched now"


def _verified(work: _Work) -> str:
    wrong = {what: len(_of(work, what)) for what in ("missing", "differs", "dropped")}
    told = ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
    return f"{work.files_done} files were looked at: {told or 'all are here, and right'}"


_DOES: Final[Mapping[Mode, Callable[[Syncs, _Work], dict[str, Any]]]] = MappingProxyType(
    {
        Mode.PRESEED: Syncs.preseed,
        Mode.VERIFY: Syncs.verify,
        Mode.REFRESH: Syncs.refresh,
        Mode.PRUNE: Syncs.prune,
    }
)
