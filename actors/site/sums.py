"""What a file is, computed in one pass while it goes by: its SHA-256 and its chunk list.

The chunk list: first line `sprout-chunks 1 <size> <sha256>`, then a line
`<offset> <length> <sha256 | zero>` for each 4 MiB.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import BinaryIO, Final

from actors.site.store import Digest

CHUNK: Final = 4 * 1024 * 1024
_ZEROS: Final = bytearray(CHUNK)

_LARGE: Final = 256 * 1024
"""Bytes from which on it pays to compute two sums in two threads."""


@cache
def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="sums")


Piece = bytes | bytearray | memoryview


def is_zero(chunk: Piece) -> bool:
    """Return whether *chunk* holds nothing but zeros."""
    zeros = _ZEROS if len(chunk) == CHUNK else bytearray(len(chunk))
    return zeros == chunk  # in this order: a memoryview to the left compares item by item


class Sums:
    """Takes chunk after chunk: each of CHUNK bytes, the last one of what is left."""

    def __init__(self) -> None:
        self.size = 0
        self._whole = hashlib.sha256()
        self._lines: list[str] = []

    def add(self, chunk: Piece) -> None:
        """Take *chunk*."""
        # Both sums at once: the interpreter is let go meanwhile.
        whole = _beside().submit(self._whole.update, chunk) if len(chunk) >= _LARGE else None
        mark = "zero" if is_zero(chunk) else hashlib.sha256(chunk).hexdigest()
        if whole is None:
            self._whole.update(chunk)
        else:
            whole.result()
        self._lines.append(f"{self.size} {len(chunk)} {mark}\n")
        self.size += len(chunk)

    def digest(self) -> Digest:
        """Return what went by."""
        sha256 = self._whole.hexdigest()
        head = f"sprout-chunks 1 {self.size} {sha256}\n"
        return Digest(sha256, head + "".join(self._lines))


def read(content: BinaryIO, seen: Callable[[int], None] = lambda _: None) -> Digest:
    """Return what *content* is, read once to its end; *seen* is told how far, and may raise."""
    sums = Sums()
    while chunk := content.read(CHUNK):
        sums.add(chunk)
        seen(sums.size)
    return sums.digest()
