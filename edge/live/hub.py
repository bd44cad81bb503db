"""What is heard, told to those who may hear it: hints at once, events as they settle.

One question to the database for all streams: a stream alone asks only when it resumes.
"""

import asyncio
import time
from collections import defaultdict
from typing import Final
from uuid import UUID

from edge.live import wording
from edge.live.desk import Desk
from edge.live.ears import Heard
from edge.live.feeds import FEEDS, Feed
from edge.live.hall import Hall
from edge.live.handover import Ask, Form
from edge.live.streams import Stream
from edge.live.tellers import Teller, bell_or, patiently
from edge.live.wording import EVERYTHING, Pace, Scope
from models import whereabouts
from models.commands import events, moves

RESUMED_HINTS: Final = 500
"""Events after which a page that resumes is told to read everything instead of each machine."""

_TOLD_BY: Final = {moves.CHANNEL: Form.HOSTS, events.CHANNEL: Form.EVENTS}
"""Of which form is what PostgreSQL says on a channel."""


class Hub:
    """Hears, and tells the streams of a hall."""

    def __init__(self, hall: Hall, desk: Desk) -> None:
        self._hall, self._desk = hall, desk
        self._paces: dict[Scope, Pace] = defaultdict(Pace)
        self._changed: set[str] = set()
        self._hints = asyncio.Event()
        self.tellers: Final = {form: Teller(form, hall, desk) for form in FEEDS}

    def heard(self, told: Heard) -> None:
        """Note what PostgreSQL said."""
        for channel, what in told:
            self.tellers[_TOLD_BY[channel]].bell.set()
            if channel == moves.CHANNEL and _names_something(what):
                self._changed.add(what)
                self._hints.set()

    def again(self) -> None:
        """Note that nobody listened for a while: what happened is not known."""
        self.heard([(moves.CHANNEL, EVERYTHING), (events.CHANNEL, "")])

    async def welcome(self, stream: Stream, ask: Ask) -> None:
        """Tell *stream* what it missed, and have it hear what comes."""
        if ask.form is Form.HINTS:
            self._hall.join(stream, ask.form)
        await patiently(lambda: self._welcomed(stream, ask))

    async def _welcomed(self, stream: Stream, ask: Ask) -> None:
        # Pages resume by the numbers of events.
        feed = FEEDS.get(ask.form, FEEDS[Form.EVENTS])
        newest = await self._desk.ask(feed.newest)
        after = ask.after
        if after is not None and await self._lost(feed, after, newest):
            stream.say(wording.reset(newest), time.monotonic())
            if ask.form is Form.HINTS:
                stream.say(wording.hints([EVERYTHING], fleet=True), time.monotonic())
            after = None
        if after is None:
            stream.say(wording.position(newest), time.monotonic())
            after = newest
        elif ask.form is Form.HINTS:
            await self._hinted(stream, after, newest)
        if ask.form in self.tellers:
            await self.tellers[ask.form].caught_up(stream, after)

    async def _lost(self, feed: Feed, after: int, newest: int) -> bool:
        """Whether what came after *after* may not be kept any more, or never was."""
        oldest = await self._desk.ask(feed.oldest)
        return after > newest or 0 < after < oldest - 1

    async def _hinted(self, stream: Stream, after: int, newest: int) -> None:
        missed = await self._desk.ask(
            events.since, after, limit=RESUMED_HINTS, among=stream.scope.sites
        )
        changed = {str(each.subject_id) for each in missed}
        told = changed if len(missed) < RESUMED_HINTS else {EVERYTHING}
        text = wording.position(newest) + wording.hints(told, fleet=bool(told))
        stream.say(text, time.monotonic())

    async def tell_hints(self) -> None:
        """Tell pages which machines changed, for ever."""
        while True:
            await bell_or(self._hints, self._owed_s())
            changed, self._changed = self._changed, set()
            await patiently(lambda told=changed: self._tell_hints(told))  # type: ignore[misc] # mypy cannot infer it

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


def _names_something(what: str) -> bool:
    """Whether a hint is an id or EVERYTHING: whoever reaches the database can say anything."""
    try:
        return what == EVERYTHING or bool(UUID(what))
    except ValueError:
        return False
