"""One file on its way here, from the edge or from elsewhere: resumed, hashed as it comes, bounded.

Rule 1: what is kept is whole chunks; on a restart they are read again, since nothing else proves
        what they are.
Rule 2: a broken connection is gone on with; only tries that brought nothing are counted.
"""

import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

import structlog

from actors.drivers.bulk import Answer
from actors.drivers.errors import NotAllowed, Unreachable
from actors.site.chunks import Chunks
from actors.site.store import Digest
from models.bootplan import File

PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Between tries that brought nothing; after the last of them it is given up for now."""

EXPIRED: Final = frozenset({401, 403, 410})
"""Answers of the edge to a URL that opens nothing, or no more."""

PASSING: Final = frozenset({408, 425, 429})
"""Answers of others that may be another one later, as those from 500 may."""

_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")

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


class Fetching(Unfetched):
    """An artifact is on its way: *come* bytes of *size* are here; 0 of 0 before it begins."""

    def __init__(self, why: str, *, come: int = 0, size: int = 0) -> None:
        super().__init__(why)
        self.come = come
        self.size = size


class Source(Protocol):
    """Where files are asked for."""

    def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str]
    ) -> AbstractContextManager[Answer]: ...


class _Wrong(Exception):
    """What has come is not what was promised."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """*fits* is told the size, and *goes_on* what comes; each raises Unservable when it may not."""

    fits: Callable[[int], None]
    goes_on: Callable[[int], None]


class Download:
    """Brings *file* into *partial*, which may hold the beginning of it.

    *expires*: the URL is a right that runs out, as the edge's are.
    """

    def __init__(
        self, source: Source, file: File, partial: Path, bounds: Bounds, *, expires: bool
    ) -> None:
        self._source = source
        self._file = file
        self._sha256 = file.sha256.lower()
        self._partial = partial
        self._bounds = bounds
        self._expires = expires
        self._chunks: Chunks | None = None
        self.size = 0

    @property
    def come(self) -> int:
        """How many bytes have come; :attr:`size` is of how many, once that is known."""
        return 0 if self._chunks is None else self._chunks.offset

    def run(self, url: str, stop: threading.Event) -> Digest:
        """Return what came, when it is whole, right, and on the disk; *stop* ends it soon.

        Raises Unfetched, and Unservable for what will never be right.
        """
        with _opened(self._partial) as content, closing(Chunks(content)) as chunks:
            old = chunks.take_up()
            self._chunks = chunks
            try:
                return self._whole(content, chunks, url, stop)
            except _Wrong as exc:
                if not old:
                    raise Unservable(str(exc)) from exc
            log.warning("artifact.restarted", path=self._file.path)
            chunks.begin_anew()
            try:
                return self._whole(content, chunks, url, stop)
            except _Wrong as exc:
                raise Unservable(str(exc)) from exc

    def _whole(self, content: FileIO, chunks: Chunks, url: str, stop: threading.Event) -> Digest:
        tries = 0
        while True:
            before = chunks.offset
            try:
                self._fetch(chunks, url)
                return self._proved(content, chunks)
            except Unreachable as exc:
                tries = 0 if chunks.offset > before else tries + 1
                if tries > len(PAUSES_S) or stop.wait(PAUSES_S[max(0, tries - 1)]):
                    raise Unfetched(f"{self._file.path} cannot be fetched now: {exc}") from exc
            except NotAllowed as exc:
                raise Unservable(f"{self._file.path} is not fetched: {exc}") from exc

    def _fetch(self, chunks: Chunks, url: str) -> None:
        """Take in what one answer brings.  Raises Unreachable when more must come."""
        offset = chunks.offset
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._source.exchange("GET", url, headers=headers) as answer:
            self._judge(answer)
            total = self.size = self._total(chunks, answer)
            if self._file.size and total != self._file.size:
                raise Unservable(
                    f"{self._file.path} has {total} bytes at {answer.peer}, "
                    f"the plan says {self._file.size}"
                )
            self._bounds.fits(total)
            while length := answer.read_into(chunks.room()):
                self._bounds.goes_on(length)
                if chunks.offset + length > total:
                    raise _Wrong(f"{self._file.path}: {answer.peer} sends more than it said")
                chunks.came(length, last=chunks.offset + length == total)
        if chunks.offset < total:
            raise Unreachable(f"it broke off at {chunks.offset} of {total} bytes")

    def _judge(self, answer: Answer) -> None:
        if answer.status in {200, 206}:
            return
        if answer.status == 416:
            raise _Wrong(f"{self._file.path} is shorter at {answer.peer} than what has come of it")
        if self._expires:
            self._judge_right(answer)
        elif answer.status < 500 and answer.status not in PASSING:
            raise Unservable(
                f"{self._file.path} cannot be had: {answer.peer} answers {answer.status}"
            )
        raise Unreachable(f"{answer.peer} answers {answer.status}")

    def _judge_right(self, answer: Answer) -> None:
        if answer.status in EXPIRED:
            raise Unfetched(
                f"the URL of {self._file.path} opens nothing any more ({answer.status})",
                expired=True,
            )
        if answer.status == 404:
            raise Unservable(f"{self._file.path} is neither at this site nor at {answer.peer}")

    def _total(self, chunks: Chunks, answer: Answer) -> int:
        """Return the size of all; begin anew where the answer does."""
        if answer.status == 200:
            chunks.begin_anew()
            total = self._file.size if answer.length is None else answer.length
            if answer.length is None and not total:
                raise Unreachable(f"{answer.peer} does not say how long its answer is")
            return total
        told = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != chunks.offset:
            raise Unreachable(f"{answer.peer} sends another range than it was asked for")
        return int(told[2])

    def _proved(self, content: FileIO, chunks: Chunks) -> Digest:
        chunks.settle()
        digest = chunks.sums.digest()
        if digest.sha256 != self._sha256:
            raise _Wrong(
                f"{self._file.path} came with the SHA-256 {digest.sha256}, "
                f"the plan says {self._sha256}"
            )
        os.fsync(content.fileno())
        return digest


def _opened(partial: Path) -> FileIO:
    partial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return FileIO(os.open(partial, how, 0o600), "r+", closefd=True)
