"""Waits for what another process writes, by the kernel's word for it (inotify(7)) and no clock.

Not for SQLite: what makes a commit visible is written to shared memory, which tells nobody.
"""

import ctypes
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_MODIFIED: Final = 0x2
_MOVED_TO: Final = 0x80
_CREATED: Final = 0x100

_Found = TypeVar("_Found")


def awaited(folder: Path, found: Callable[[], _Found], *, seconds: float = 60.0) -> _Found:
    """Return what *found* returns once it is true, which a change of a file in *folder* makes it.

    Raises AssertionError when that has not come after *seconds*.
    """
    deadline = time.monotonic() + seconds
    # The watch stands before the first look, so that no change falls between the two.
    handle = _watch(folder)
    try:
        while not (result := found()):
            changed, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            assert changed, f"nothing of what was waited for was written in {folder}"
            os.read(handle, 65536)
    finally:
        os.close(handle)
    return result


def _watch(folder: Path) -> int:
    handle = _done(_LIBC.inotify_init1(os.O_CLOEXEC))
    wanted = _MODIFIED | _MOVED_TO | _CREATED
    _done(_LIBC.inotify_add_watch(handle, os.fsencode(folder), wanted))
    return handle


def _done(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
