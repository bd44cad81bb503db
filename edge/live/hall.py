"""All streams of the process: how many there may be, who hears what, and when they end."""

import asyncio
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from edge.live import wording
from edge.live.desk import Desk
from edge.live.handover import Ask, Form
from edge.live.streams import LAST_WORDS_S, Stream, prepared
from edge.live.wording import Scope, Why
from models.commands import sessions, tokens
from models.database import Unavailable

LOOK_EVERY_S: Final = 5.0
"""Seconds after which a session or token that is over has ended its streams."""

GRACE_S: Final = 0.5
SILENCE_S: Final = 15.0
LIFE_S: Final = 3600.0
"""About how long a stream lasts: whatever else changed, its caller then proves himself again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many streams there may be: in all, and for each subject."""

    all: int
    each: int


class Hall:
    """Members by form and scope: what is said to a scope is put into words once."""

    def __init__(self, limits: Limits, desk: Desk) -> None:
        self._limits, self._desk = limits, desk
        self._held: Counter[str] = Counter()
        self._members: dict[Form, dict[Scope, set[Stream]]] = {f: defaultdict(set) for f in Form}
        self._known: dict[Scope, Scope] = {}
        self._streams: set[Stream] = set()
        self._gone = asyncio.Event()
        self.opened = 0
        self.ended: Counter[Why] = Counter()

    def __len__(self) -> int:
        return len(self._streams)

    def reserve(self, subject: str) -> str:
        """Keep room for one stream of *subject*; return "" or why there is none."""
        if self._held.total() >= self._limits.all:
            return f"there are {self._limits.all} streams already: poll instead"
        if self._held[subject] >= self._limits.each:
            return f"you have {self._limits.each} streams already: close one, or poll instead"
        self._held[subject] += 1
        return ""

    def release(self, subject: str) -> None:
        """Give back what was reserved."""
        self._held[subject] -= 1
        self._held += Counter()  # drops those that are at nought

    async def open(self, line: socket.socket, ask: Ask) -> Stream:
        """Return a stream that has heard how it begins; its room was reserved."""
        stream = Stream(ask, self._scope(ask), self._left)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, prepared(line))
        except OSError:
            line.close()
            self.release(ask.subject)
            raise
        life = LIFE_S * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, keeps no secret
        stream.life_ends_at = time.time() + life
        self.opened += 1
        if stream.open:
            self._streams.add(stream)
        stream.say(ask.head.encode("latin-1") + wording.opening(), time.monotonic())
        return stream

    def join(self, stream: Stream, form: Form) -> None:
        """Have *stream* hear what is said from now on."""
        if stream.open:
            self._members[form][stream.scope].add(stream)

    def leave(self, stream: Stream, form: Form) -> None:
        """Have *stream* hear no more of what is said to all."""
        members = self._members[form].get(stream.scope, set())
        members.discard(stream)
        if not members and self._members[form].pop(stream.scope, None) is not None:
            self._known.pop(stream.scope, None)

    def scopes(self, form: Form) -> Mapping[Scope, set[Stream]]:
        """Return who hears what."""
        return self._members[form]

    def say(self, streams: Iterable[Stream], text: bytes) -> None:
        """Say *text* to each; whoever has left too much unread is ended."""
        now = time.monotonic()
        # Copied: who is too slow leaves while we speak.
        for stream in list(streams) if text else ():
            stream.say(text, now)

    async def watch(self) -> None:
        """End streams whose time is over, and say that we are there, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._end_those_over(time.time())
            self._end(await self._strangers(), Why.EXPIRED)
            self._still_here()

    async def stop(self) -> None:
        """Tell every stream that the process ends; return when they have gone."""
        self._gone.clear()
        self._end(self._streams, Why.STOPPING)
        if not self._streams:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S + GRACE_S):
                await self._gone.wait()

    def _scope(self, ask: Ask) -> Scope:
        """Return the scope of *ask*: one object for all that hear the same."""
        made = Scope(
            sites=None if ask.sites is None else frozenset(map(UUID, ask.sites)),
            machine=None if ask.machine is None else UUID(ask.machine),
            site=None if ask.site is None else UUID(ask.site),
            kind=ask.kind,
        )
        return self._known.setdefault(made, made)

    def _left(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._gone.set()
        self.release(stream.subject)
        if stream.why is not None:
            self.ended[stream.why] += 1
        for form in Form:
            self.leave(stream, form)

    def _end(self, streams: Iterable[Stream], why: Why) -> None:
        for stream in list(streams):
            stream.end(why)

    def _end_those_over(self, at: float) -> None:
        self._end([s for s in self._streams if s.ends_at <= at], Why.EXPIRED)
        self._end([s for s in self._streams if s.life_ends_at <= at], Why.LONG_ENOUGH)

    async def _strangers(self) -> list[Stream]:
        """Return the streams whose session or token is not good any more."""
        known = {s.session for s in self._streams} - {""}
        shown = {UUID(s.token) for s in self._streams if s.token}
        try:
            alive = await self._desk.ask(sessions.alive, known) if known else frozenset()
            good = await self._desk.ask(tokens.alive, shown) if shown else frozenset()
        except Unavailable as exc:
            # Nothing is told while the database is away, and it is asked again.
            log.warning("events.not-judged", why=str(exc))
            return []
        return [
            stream
            for stream in self._streams
            if (stream.session in known and stream.session not in alive)
            or (stream.token and UUID(stream.token) in shown - good)
        ]

    def _still_here(self) -> None:
        now = time.monotonic()
        silent = [s for s in self._streams if now >= s.said_at + SILENCE_S]
        self.say(silent, wording.STILL_HERE)
