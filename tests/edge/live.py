"""The events process beside an edge, and callers that listen to it."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import requests
from peewee import fn

from edge.live import handover
from models.commands import events, moves
from models.database import database
from models.tables import DomainEvent, Machine
from tests.services import process

TOKEN = "t-0123456789abcdef"


@dataclass
class Live:
    """A running events process."""

    socket: Path
    started: subprocess.Popen[bytes]
    log: Path

    @property
    def figures(self):
        return handover.figures(self.socket)

    def wait_for(self, holds):
        """Return when *holds* does."""

        def check():
            if not holds():
                raise OSError

        process.wait_until_ready(self.started, check, self.log, seconds=60)


@contextmanager
def hearing(settings, folder):
    """The process as `python -m edge.live` runs it, for the block; it hears the database."""
    log = folder / "events.log"
    started = process.launch([sys.executable, "-m", "edge.live"], log, env=settings, cwd=folder)
    live = Live(Path(settings["SPROUT_EVENTS_SOCKET"]), started, log)
    try:
        process.wait_until_ready(started, lambda: demand(live), log, seconds=60)
        yield live
    finally:
        process.stop(started, how=signal.SIGTERM)


def demand(live):
    try:
        listening = live.figures["listening"]
    except handover.NotTaken as exc:
        raise OSError(str(exc)) from exc
    if not listening:
        raise OSError("it does not hear the database yet")


class Stream:
    """A caller who listens: *next* returns a block as a dictionary of its fields."""

    def __init__(self, url, path="/events/hints", *, token=TOKEN, **headers):
        given = {"Accept": "text/event-stream", **headers}
        if token:
            given["Authorization"] = f"Bearer {token}"
        self.answer = requests.get(f"{url}{path}", headers=given, stream=True, timeout=60)
        self._lines = self.answer.iter_lines(chunk_size=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()

    def next(self):
        """The fields of the next block; {} at the end of the stream."""
        block = {}
        for line in self._lines:
            if not line and block:
                return block
            name, _, value = line.decode().partition(":")
            block[name or "comment"] = value.strip()
        return block

    def rest(self):
        return list(iter(self.next, {}))

    def until(self, *names, **fields):
        """The blocks up to the first that has these *names* and all of *fields*."""
        seen = []
        while not seen or not (fields.items() <= seen[-1].items() and {*names} <= {*seen[-1]}):
            seen.append(self.next())
            assert seen[-1], f"it ended before {fields}: {seen}"
        return seen


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def happened(*machines, kind="commission", times=1, **data):
    """Something happened to *machines*, and whoever listens is told."""
    with database.atomic():
        for machine in machines * times:
            row = Machine.get_by_id(machine)
            events.tell(row, kind, {"from": "registered", "to": "commissioning", **data})
            moves.announce(machine)


def last():
    """The number of the newest event, when no open transaction holds it back any more.

    Those who look at the database look in transactions: for a moment an event may be held back.
    """
    until = time.monotonic() + 15
    while (shown := events.newest()) != DomainEvent.select(fn.max(DomainEvent.id)).scalar():
        assert time.monotonic() < until, f"events after {shown} are held back"
    return shown


@contextmanager
def transaction(database_url):
    """Another connection, in the middle of a transaction for the block."""
    with psycopg2.connect(database_url) as connection:
        connection.cursor().execute("SELECT 1")
        yield
    connection.close()
