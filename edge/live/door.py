"""Where the edge knocks with a connection: the other end of `edge.live.handover`."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from edge.live.hall import Hall
from edge.live.handover import ANSWER_S, FIGURES, GO, LONGEST, ROOM, Ask, reachable, same_user
from edge.live.hub import Hub

BACKLOG: Final = 256

log = structlog.get_logger()


class Door:
    """A Unix socket for processes of our own user."""

    def __init__(self, path: Path, hall: Hall, hub: Hub, figures: Callable[[], Any]) -> None:
        self._path, self._hall, self._hub, self._figures = path, hall, hub, figures
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._guests: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Listen; whoever listened here before has ended, or is told nothing more."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        with reachable(self._path) as name:
            self._listener.bind(name)
        self._path.chmod(0o600)
        self._listener.listen(BACKLOG)
        self._listener.settimeout(0)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            guest, _ = self._listener.accept()
        except OSError as exc:
            log.warning("events.door-stuck", why=str(exc))
            return
        task = asyncio.get_running_loop().create_task(self._received(guest))
        self._guests.add(task)
        task.add_done_callback(self._guests.discard)

    async def _received(self, guest: socket.socket) -> None:
        with guest:
            guest.settimeout(0)
            if not same_user(guest):
                log.warning("events.stranger")
                return
            try:
                await self._serve(guest)
            except (OSError, TimeoutError, ValueError, TypeError, AttributeError) as exc:
                log.warning("events.not-taken", why=str(exc) or type(exc).__name__)

    async def _serve(self, guest: socket.socket) -> None:
        await _readable(guest)
        message, descriptors, _, _ = socket.recv_fds(guest, LONGEST, 1)
        lines = [socket.socket(fileno=each) for each in descriptors]
        try:
            if message == FIGURES:
                guest.send(json.dumps(self._figures()).encode())
                return
            ask = Ask.decoded(message)
            if refused := self._hall.reserve(ask.subject):
                guest.send(refused.encode())
                return
            await self._take(guest, lines, ask)
        finally:
            for line in lines:
                line.close()

    async def _take(self, guest: socket.socket, lines: list[socket.socket], ask: Ask) -> None:
        """Open the stream when the edge has let go of its connection."""
        try:
            guest.send(ROOM)
            await _readable(guest)
            line = _given(guest, lines)
        except BaseException:
            self._hall.release(ask.subject)
            raise
        stream = await self._hall.open(line, ask)
        await self._hub.welcome(stream, ask)


def _given(guest: socket.socket, lines: list[socket.socket]) -> socket.socket:
    """Return the connection.  Raises ValueError when the edge kept it."""
    if guest.recv(len(GO)) != GO or not lines:
        raise ValueError("the edge kept the connection")
    return lines.pop()


async def _readable(line: socket.socket) -> None:
    """Return when *line* can be read.  Raises TimeoutError."""
    loop, bell = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(line, bell.set)
    try:
        async with asyncio.timeout(ANSWER_S):
            await bell.wait()
    finally:
        with suppress(ValueError):
            loop.remove_reader(line)
