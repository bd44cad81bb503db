"""One caller's connection, and what may lie unread in it."""

import asyncio
import math
import random
import socket
from collections.abc import Callable
from typing import Final

from edge.live import wording
from edge.live.handover import Ask
from edge.live.wording import Scope, Why

BACKLOG: Final = 256 << 10
"""Bytes that a caller may leave unread: then he is too slow."""

STALL_S: Final = 10.0
"""Seconds within which a caller who is being told what he missed reads what was written."""

SEND_BUFFER: Final = 64 << 10
"""Bytes that the kernel keeps for each caller on top; it would take megabytes by itself."""

PEER_GONE_MS: Final = 30_000
"""After which a peer that acknowledges nothing is gone: TCP_USER_TIMEOUT, tcp(7)."""

LAST_WORDS_S: Final = 2.0
"""Seconds that the last words may take to leave."""

MOST_HEARD: Final = 4096
"""Bytes that a caller may send after his request: there is nothing to say."""

STAMPEDE_MS: Final = 4000
"""Callers of a process that ends come again over so many milliseconds, not all at once."""


class Stream(asyncio.Protocol):
    """A connection that is told things until one of the two ends leaves."""

    __slots__ = (
        "_fluent", "_heard", "_left", "_line",
        "ends_at", "life_ends_at", "said_at", "scope", "session", "skip", "subject", "token", "why",
    )  # fmt: skip

    def __init__(self, ask: Ask, scope: Scope, left: Callable[["Stream"], None]) -> None:
        self.subject, self.session, self.token = ask.subject, ask.session, ask.token
        self.scope = scope
        self.ends_at = math.inf if ask.until is None else ask.until
        self.life_ends_at = math.inf
        self.said_at = 0.0
        self.skip = 0
        """Number of the last event that this caller alone was told already."""
        self.why: Why | None = None
        self._left = left
        self._heard = 0
        self._fluent: asyncio.Future[None] | None = None
        self._line: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the line."""
        self._line = transport  # type: ignore[assignment] # of a socket it is a full Transport

    def data_received(self, data: bytes) -> None:
        """Hear nothing, for a while."""
        self._heard += len(data)
        if self._heard > MOST_HEARD and self._line is not None:
            self._line.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who counts streams."""
        self._line = None
        self.resume_writing()
        self._left(self)

    def pause_writing(self) -> None:
        """Note that the caller reads more slowly than he is told."""
        self._fluent = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let whoever waits in `fluent` go on."""
        if self._fluent is not None and not self._fluent.done():
            self._fluent.set_result(None)
        self._fluent = None

    async def fluent(self, stall_s: float = STALL_S) -> None:
        """Return when little is left unread, or the caller is gone; end him if he stalls."""
        if self._fluent is None:
            return
        try:
            async with asyncio.timeout(stall_s):
                await self._fluent
        except TimeoutError:
            self.end(Why.TOO_SLOW)

    def takes(self, text: bytes) -> bool:
        """Whether *text* may be written on top of what is unread; nothing unread takes any."""
        unread = 0 if self._line is None else self._line.get_write_buffer_size()
        return not unread or unread + len(text) <= BACKLOG

    @property
    def open(self) -> bool:
        """Whether there is somebody to tell."""
        return self._line is not None and self.why is None

    def say(self, text: bytes, now: float = 0.0) -> None:
        """Write *text*; a caller who has left too much unread is ended instead."""
        if self._line is None or self.why is not None or not text:
            return
        if not self.takes(text):
            self.end(Why.TOO_SLOW)
            return
        self._line.write(text)
        self.said_at = now

    def end(self, why: Why) -> None:
        """Say why, and hang up; at once if the caller does not read that either."""
        line = self._line
        if line is None or self.why is not None:
            return
        self.why = why
        retry = wording.RETRY_MS
        if why is Why.STOPPING:
            retry += random.randrange(STAMPEDE_MS)  # noqa: S311 - spreads load, keeps no secret
        line.write(wording.ended(why, retry))
        line.close()
        asyncio.get_running_loop().call_later(LAST_WORDS_S, line.abort)


def prepared(line: socket.socket) -> socket.socket:
    """Return *line* with bounds on what the kernel keeps for it, and for how long."""
    line.settimeout(0)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if line.family in {socket.AF_INET, socket.AF_INET6}:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_GONE_MS)
    return line
