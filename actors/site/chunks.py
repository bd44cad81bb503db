"""A file's bytes as they come: while a chunk is received, those before it are hashed and written.

Rule 1: what lies in the file is whole chunks, in their order; what is not one yet, only in memory.
Rule 2: a chunk that cannot be written is told with one of the next, or when all are settled, and
        none after it is written.
Rule 3: the page cache is passed by where the file system lets it: it would cost more of the
        processors than both sums do, and drop what others read for what is sent much later.
"""

import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from mmap import mmap
from typing import Final

from actors.site.sums import CHUNK, Sums, is_zero

BUFFERS: Final = 3
"""Chunks in memory: one that comes, and those that are hashed and written."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A chunk that has come: when all of *done* is, its buffer takes another."""

    buffer: mmap
    done: tuple[Future[None], ...]


class Chunks:
    """Takes what comes of *content*, which may hold the beginning of it.  For one thread."""

    def __init__(self, content: FileIO) -> None:
        self._file = content.fileno()
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="chunks-hashed")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="chunks-written")
        self._free = deque(mmap(-1, CHUNK) for _ in range(BUFFERS))  # each begins at a page
        self._busy: deque[_Given] = deque()
        self._writing: Future[None] | None = None
        self._given = self._filled = 0
        self.sums = Sums()
        _pass_by_cache(self._file, yes=True)

    @property
    def offset(self) -> int:
        """Return how many bytes have come."""
        return self._given + self._filled

    def begin_anew(self) -> None:
        """Forget all that has come.  Raises OSError."""
        self.settle()
        self._given = self._filled = 0
        self.sums = Sums()
        os.ftruncate(self._file, 0)

    def take_up(self) -> int:
        """Read what lies there, whole chunks of it; return how many.  Raises OSError."""
        left = os.fstat(self._file).st_size // CHUNK
        for _ in range(left):
            _move_all(self._file, _read, memoryview(self._free[0]), self._given)
            self._give(CHUNK, written=True)
        os.ftruncate(self._file, self._given)
        return left

    def room(self) -> memoryview:
        """Return where the next bytes are to be put."""
        return memoryview(self._free[0])[self._filled :]

    def came(self, length: int, *, last: bool) -> None:
        """Take *length* bytes that were put there; *last*: no more will come.  Raises OSError."""
        self._filled += length
        if self._filled == CHUNK or (last and self._filled):
            size, self._filled = self._filled, 0
            self._give(size)

    def settle(self) -> None:
        """Return when what was given is summed up, and lies in the file.  Raises OSError."""
        while self._busy:
            self._free.append(self._freed())

    def close(self) -> None:
        """Return when nothing is done any more; what went wrong was told, or does not matter."""
        self._hasher.shutdown(wait=True)
        self._writer.shutdown(wait=True)

    def _give(self, size: int, *, written: bool = False) -> None:
        """Have the buffer that is filled hashed, and *written* if it is not; take another one."""
        buffer, at = self._free.popleft(), self._given
        chunk = memoryview(buffer)[:size]
        done = [self._hasher.submit(self.sums.add, chunk)]
        if not written:
            self._writing = self._writer.submit(self._write, chunk, at, after=self._writing)
            done.append(self._writing)
        self._busy.append(_Given(buffer, tuple(done)))
        self._given = at + size
        if not self._free:
            self._free.append(self._freed())

    def _freed(self) -> mmap:
        given = self._busy.popleft()
        for each in given.done:
            each.result()
        return given.buffer

    def _write(self, chunk: memoryview, at: int, *, after: Future[None] | None) -> None:
        if after is not None:
            after.result()
        if is_zero(chunk):
            os.ftruncate(self._file, at + len(chunk))  # a hole reads as zeros
        else:
            _move_all(self._file, os.pwrite, chunk, at)


def _read(file: int, room: memoryview, at: int) -> int:
    return os.preadv(file, [room], at)


def _move_all(
    file: int, move: Callable[[int, memoryview, int], int], left: memoryview, at: int
) -> None:
    """Read or write all of *left*, by the page cache if it does not go past it."""
    while left:
        try:
            count = move(file, left, at)
        except OSError as exc:
            if exc.errno != errno.EINVAL or not _pass_by_cache(file, yes=False):
                raise
            continue
        if not count:
            raise OSError(errno.EIO, "the file is shorter than it was")
        left, at = left[count:], at + count


def _pass_by_cache(file: int, *, yes: bool) -> bool:
    """Have the page cache be passed by, or not, where that may be; return whether it was not so."""
    before = fcntl.fcntl(file, fcntl.F_GETFL)
    after = before | os.O_DIRECT if yes else before & ~os.O_DIRECT
    with suppress(OSError):
        fcntl.fcntl(file, fcntl.F_SETFL, after)
    return before != after
