"""What is numbered, told in order as it settles; to who resumes or reads slowly, at his pace."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from edge.live.desk import Desk
from edge.live.feeds import FEEDS, Read
from edge.live.hall import Hall
from edge.live.handover import Form
from edge.live.streams import Stream
from edge.live.wording import Scope
from models.database import Unavailable

LOOK_S: Final = 5.0
SETTLING_S: Final = 0.05
"""Between two looks while an open transaction holds something back."""

PAUSE_S: Final = 1.0

log = structlog.get_logger()


class Teller:
    """Tells the streams of one form: one question to the database for all that have caught up."""

    def __init__(self, form: Form, hall: Hall, desk: Desk) -> None:
        self._form, self._feed = form, FEEDS[form]
        self._hall, self._desk = hall, desk
        self.bell = asyncio.Event()
        """Rings when there may be something new."""
        self._position = 0
        self._behind: set[asyncio.Task[None]] = set()

    async def tell(self) -> None:
        """Tell callers what happened, for ever."""
        await patiently(self._begin)
        wait_s = LOOK_S
        while True:
            await bell_or(self.bell, wait_s)
            wait_s = LOOK_S
            if await patiently(self._tell_new):
                wait_s = SETTLING_S

    async def caught_up(self, stream: Stream, after: int) -> None:
        """Tell *stream* what came after *after*, at its pace, and have it hear what comes."""
        stream.skip = after
        while stream.open:
            read = await self._read(stream.skip, stream.scope)
            stream.skip = read.after
            stream.say(self._feed.said(read.told), time.monotonic())
            if not read.more:
                # What this stream alone was told already is left out when it is told to all.
                self._hall.join(stream, self._form)
                return
            await stream.fluent()

    async def _read(self, after: int, scope: Scope) -> Read:
        return await self._desk.ask(self._feed.since, after, scope)

    async def _begin(self) -> None:
        self._position = await self._desk.ask(self._feed.newest)

    async def _tell_new(self) -> bool:
        """Tell what has settled; return whether there is more that has not."""
        while (read := await self._read(self._position, Scope())).after > self._position:
            self._position = read.after
            for scope, members in list(self._hall.scopes(self._form).items()):
                told = [each for each in read.told if self._feed.wants(scope, each)]
                self._tell(set(members), told)
        return await self._desk.ask(self._feed.behind, self._position)

    def _tell(self, members: set[Stream], told: Sequence[Any]) -> None:
        if not told:
            return
        text = self._feed.said(told)
        slow = {stream for stream in members if not stream.takes(text)}
        ahead = {stream for stream in members - slow if stream.skip >= told[0].id}
        self._hall.say(members - slow - ahead, text)
        for stream in ahead:
            left = [each for each in told if each.id > stream.skip]
            self._hall.say([stream], self._feed.said(left))
        for stream in slow:
            self._later(stream, max(stream.skip, told[0].id - 1))

    def _later(self, stream: Stream, after: int) -> None:
        """Have *stream* read on at its own pace from *after*, until it has caught up."""
        self._hall.leave(stream, self._form)
        task = asyncio.get_running_loop().create_task(self._at_its_pace(stream, after))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _at_its_pace(self, stream: Stream, after: int) -> None:
        await stream.fluent()
        await patiently(lambda: self.caught_up(stream, max(after, stream.skip)))


async def bell_or(bell: asyncio.Event, seconds: float | None) -> None:
    """Return when *bell* rings, or after *seconds*; it is then silent."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
    bell.clear()


async def patiently(act: Callable[[], Any]) -> Any:
    """Do *act*, again and again while the database is away."""
    while True:
        try:
            return await act()
        except Unavailable as exc:
            log.warning("events.paused", why=str(exc))
            await asyncio.sleep(PAUSE_S)
