"""A file's bytes as they come: one chunk is received while the one before is hashed and written.

Rule 1: what lies in the file is whole chunks, in their order; what is not one yet, only in memory.
Rule 2: a chunk that cannot be written is told when the next is given, or all are settled.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO

from actors.site.sums import CHUNK, Sums


class Chunks:
    """Takes what comes of *content*, which may hold the beginning of it.  For one thread."""

    def __init__(self, content: FileIO) -> None:
        self._content = content
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="chunks")
        self._free = [bytearray(CHUNK), bytearray(CHUNK)]
        self._busy: Future[None] | None = None
        self.begin_anew(truncate=False)

    @property
    def offset(self) -> int:
        """Return how many bytes have come."""
        return self._given + self._filled

    def begin_anew(self, *, truncate: bool = True) -> None:
        """Forget all that has come."""
        self._wait()
        self.sums, self._given, self._filled = Sums(), 0, 0
        if truncate:
            os.ftruncate(self._content.fileno(), 0)

    def take_up(self) -> int:
        """Read what lies there, whole chunks of it; return how many."""
        left = os.fstat(self._content.fileno()).st_size // CHUNK
        for _ in range(left):
            self.sums.add(self._content.read(CHUNK))
        self._given = self.sums.size
        os.ftruncate(self._content.fileno(), self._given)
        return left

    def room(self) -> memoryview:
        """Return where the next bytes are to be put."""
        return memoryview(self._free[0])[self._filled :]

    def came(self, length: int, *, last: bool) -> None:
        """Take *length* bytes that were put there; *last*: no more will come.  Raises OSError."""
        self._filled += length
        if self._filled == CHUNK or (last and self._filled):
            self._wait()
            full, size, at = self._free[0], self._filled, self._given
            self._free.reverse()
            self._given, self._filled = at + size, 0
            self._busy = self._worker.submit(self._keep, full, size, at)

    def settle(self) -> None:
        """Return when what was given lies in the file.  Raises OSError."""
        self._wait()

    def close(self) -> None:
        """Return when nothing is done any more; what went wrong was told, or does not matter."""
        self._worker.shutdown(wait=True)

    def _wait(self) -> None:
        if self._busy is not None:
            busy, self._busy = self._busy, None
            busy.result()

    def _keep(self, buffer: bytearray, size: int, at: int) -> None:
        with memoryview(buffer)[:size] as chunk:
            if self.sums.add(chunk):
                os.ftruncate(self._content.fileno(), at + size)  # a hole reads as zeros
            else:
                _write_all(self._content.fileno(), chunk, at)


def _write_all(descriptor: int, chunk: memoryview, at: int) -> None:
    while chunk:
        count = os.pwrite(descriptor, chunk, at)
        chunk, at = chunk[count:], at + count
