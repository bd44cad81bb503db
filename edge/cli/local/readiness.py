"""Waits for what a process shows when it is up: events where the kernel has one, else a probe."""

import asyncio
import ctypes
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from edge.cli.local.process import Answering, Finished, Listening, LogLine, Ready, Started

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY: Final = 0x2
_PROBE_EVERY_S: Final = 0.05
_PROBE_S: Final = 5.0
_SERVER_ERROR: Final = 500


async def until(ready: Ready, log: Path, offset: int) -> None:
    """Return once *ready* is true of a process that writes to *log* from *offset* on."""
    match ready:
        case Started():
            return
        case Finished():
            await asyncio.Event().wait()  # for ever: its end is what counts
        case LogLine(text):
            await _line(log, offset, text.encode())
        case Listening(port):
            await _probe(lambda: _accepts("127.0.0.1", port))
        case Answering(url):
            await _probe(lambda: _answers(url))


async def readable(handle: int) -> None:
    """Return when *handle* can be read; a pidfd can when its process has ended."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)


class _Changes:
    """An inotify watch (inotify(7)) on one file."""

    def __init__(self, path: Path) -> None:
        self._handle = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        _checked(_LIBC.inotify_add_watch(self._handle, os.fsencode(path), _IN_MODIFY))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        os.close(self._handle)

    async def next(self) -> None:
        await readable(self._handle)
        os.read(self._handle, 4096)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


async def _line(log: Path, offset: int, text: bytes) -> None:
    # The watch stands before the first look, so that no line falls between the two.
    with _Changes(log) as changes, log.open("rb") as file:
        file.seek(offset)
        seen = file.read()
        while text not in seen:
            await changes.next()
            seen = seen[-len(text) :] + file.read()


async def _probe(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it holds: no event tells us that another process listens."""
    while True:
        with suppress(OSError, TimeoutError, ValueError, IndexError):
            if await asyncio.wait_for(holds(), _PROBE_S):
                return
        await asyncio.sleep(_PROBE_EVERY_S)


async def _accepts(host: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()
    return True


async def _answers(url: str) -> bool:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        status = await reader.readline()  # HTTP/1.1 200 OK
        return int(status.split()[1]) < _SERVER_ERROR if status else False
    finally:
        writer.close()
        await writer.wait_closed()
