"""What is heard, told to those who may hear it: hints at once, events as they settle.

One question to the database for all streams: a stream alone asks only when it resumes.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import structlog

from edge.live import wording
from edge.live.desk import Desk
from edge.live.ears import Heard
from edge.live.hall import Hall
from edge.live.handover import Ask, Form
from edge.live.streams import Stream
from edge.live.wording import EVERYTHING, Pace, Scope
from models import whereabouts
from models.commands import events, moves
from models.database import Unavailable
from models.events import DomainEvent

BATCH: Final = 50
RESUMED_HINTS: Final = 500
"""Events after which a page that resumes is told to read everything instead of each machine."""

LOOK_S: Final = 5.0
SETTLING_S: Final = 0.05
"""Between two looks while an open transaction holds events back."""

PAUSE_S: Final = 1.0

log = structlog.get_logger()


class Hub:
    """Hears, and tells the streams of a hall."""

    def __init__(self, hall: Hall, desk: Desk) -> None:
        self._hall, self._desk = hall, desk
        self._paces: dict[Scope, Pace] = defaultdict(Pace)
        self._changed: set[str] = set()
        self._hints, self._events = asyncio.Event(), asyncio.Event()
        self._position = 0
        self._behind: set[asyncio.Task[None]] = set()

    def heard(self, told: Heard) -> None:
        """Note what PostgreSQL said."""
        for channel, what in told:
            if channel != moves.CHANNEL:
                self._events.set()
            elif _names_something(what):
                self._changed.add(what)
                self._hints.set()

    def again(self) -> None:
        """Note that nobody listened for a while: what happened is not known."""
        self.heard([(moves.CHANNEL, EVERYTHING), (events.CHANNEL, "")])

    async def welcome(self, stream: Stream, ask: Ask) -> None:
        """Tell *stream* what it missed, and have it hear what comes."""
        if ask.form is Form.HINTS:
            self._hall.join(stream, ask.form)
        await self._patiently(lambda: self._welcomed(stream, ask))

    async def _welcomed(self, stream: Stream, ask: Ask) -> None:
        newest = await self._desk.ask(events.newest)
        after = ask.after
        if after is not None and await self._lost(after, newest):
            stream.say(wording.reset(newest), time.monotonic())
            if ask.form is Form.HINTS:
                stream.say(wording.hints([EVERYTHING], fleet=True), time.monotonic())
            after = None
        if after is None:
            stream.say(wording.position(newest), time.monotonic())
            after = newest
        elif ask.form is Form.HINTS:
            await self._hinted(stream, after, newest)
        if ask.form is Form.EVENTS:
            await self._caught_up(stream, after)

    async def _lost(self, after: int, newest: int) -> bool:
        """Whether events that came after *after* may not be kept any more, or never were."""
        oldest = await self._desk.ask(events.oldest)
        return after > newest or 0 < after < oldest - 1

    async def _hinted(self, stream: Stream, after: int, newest: int) -> None:
        missed = await self._desk.ask(
            events.since, after, limit=RESUMED_HINTS, among=stream.scope.sites
        )
        changed = {str(each.subject_id) for each in missed}
        told = changed if len(missed) < RESUMED_HINTS else {EVERYTHING}
        text = wording.position(newest) + wording.hints(told, fleet=bool(told))
        stream.say(text, time.monotonic())

    async def _caught_up(self, stream: Stream, after: int) -> None:
        scope = stream.scope
        wanted: dict[str, Any] = {"machine": scope.machine, "site": scope.site, "kind": scope.kind}
        stream.skip = after
        while stream.open:
            missed = await self._desk.ask(
                events.since, stream.skip, limit=BATCH, among=scope.sites, **wanted
            )
            if missed:
                stream.skip = missed[-1].id
                stream.say(wording.events(missed), time.monotonic())
            if len(missed) < BATCH:
                # What this stream alone was told already is left out when it is told to all.
                self._hall.join(stream, Form.EVENTS)
                return
            await stream.fluent()

    async def tell_hints(self) -> None:
        """Tell pages which machines changed, for ever."""
        while True:
            await self._bell_or(self._hints, self._owed_s())
            changed, self._changed = self._changed, set()
            await self._patiently(lambda told=changed: self._tell_hints(told))  # type: ignore[misc] # mypy cannot infer it

    async def _tell_hints(self, changed: set[str]) -> None:
        scopes = self._hall.scopes(Form.HINTS)
        for gone in self._paces.keys() - scopes.keys():
            del self._paces[gone]
        places: dict[str, UUID] = {}
        if changed and any(scope.sites is not None for scope in scopes):
            places = await self._places(changed - {EVERYTHING})
        now = time.monotonic()
        for scope, members in list(scopes.items()):
            mine = {m for m in changed if m == EVERYTHING or scope.sees(places.get(m))}
            fleet = self._paces[scope].due(now, changed=bool(mine))
            self._hall.say(members, wording.hints(mine, fleet=fleet))

    async def _places(self, machines: set[str]) -> dict[str, UUID]:
        """Return the site of each machine; the hint of a discovery names a site itself."""
        ids = set(map(UUID, machines))
        found = await self._desk.ask(whereabouts.machine_sites, ids)
        return {str(each): found.get(each, each) for each in ids}

    def _owed_s(self) -> float | None:
        now = time.monotonic()
        waits = [pace.wait_s(now) for pace in self._paces.values() if pace.owed]
        return min(waits, default=None)

    async def tell_events(self) -> None:
        """Tell callers what happened, for ever."""
        await self._patiently(self._begin)
        wait_s = LOOK_S
        while True:
            await self._bell_or(self._events, wait_s)
            wait_s = LOOK_S
            if await self._patiently(self._tell_events):
                wait_s = SETTLING_S

    async def _begin(self) -> None:
        self._position = await self._desk.ask(events.newest)

    async def _tell_events(self) -> bool:
        """Tell what has settled; return whether there is more that has not."""
        while found := await self._desk.ask(events.since, self._position, limit=BATCH):
            self._position = found[-1].id
            for scope, members in list(self._hall.scopes(Form.EVENTS).items()):
                self._tell(set(members), [each for each in found if scope.wants(each)])
        return await self._desk.ask(events.behind, self._position)

    def _tell(self, members: set[Stream], told: list[DomainEvent]) -> None:
        if not told:
            return
        text = wording.events(told)
        slow = {stream for stream in members if not stream.takes(text)}
        ahead = {stream for stream in members - slow if stream.skip >= told[0].id}
        self._hall.say(members - slow - ahead, text)
        for stream in ahead:
            left = [each for each in told if each.id > stream.skip]
            self._hall.say([stream], wording.events(left))
        for stream in slow:
            self._later(stream, max(stream.skip, told[0].id - 1))

    def _later(self, stream: Stream, after: int) -> None:
        """Have *stream* read on at its own pace from *after*, until it has caught up."""
        self._hall.leave(stream, Form.EVENTS)
        task = asyncio.get_running_loop().create_task(self._at_its_pace(stream, after))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _at_its_pace(self, stream: Stream, after: int) -> None:
        await stream.fluent()
        await self._patiently(lambda: self._caught_up(stream, max(after, stream.skip)))

    async def _bell_or(self, bell: asyncio.Event, seconds: float | None) -> None:
        """Return when *bell* rings, or after *seconds*; it is then silent."""
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return
        bell.clear()

    async def _patiently(self, act: Callable[[], Any]) -> Any:
        """Do *act*, again and again while the database is away."""
        while True:
            try:
                return await act()
            except Unavailable as exc:
                log.warning("events.paused", why=str(exc))
                await asyncio.sleep(PAUSE_S)


def _names_something(what: str) -> bool:
    """Whether a hint is an id or EVERYTHING: whoever reaches the database can say anything."""
    try:
        return what == EVERYTHING or bool(UUID(what))
    except ValueError:
        return False
