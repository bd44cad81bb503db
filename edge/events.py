"""The live stream: hints that a machine changed, by Server-Sent Events (WHATWG HTML, §9.2).

Events carry ids, never state: whoever hears one reads again.  Each stream holds a thread of the
edge, so a worker has at most STREAMS of them and then asks the page to poll.
"""

import math
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from flask import Blueprint, Response, current_app, request

from edge.access import does, visible_sites
from models import whereabouts
from models.commands.moves import CHANNEL
from models.database import Listener, Unavailable, borrowed
from models.whereabouts import Sites

STREAMS: Final = 16
KEEP_ALIVE_S: Final = 15.0
LOOK_S: Final = 1.0
"""Seconds after which a browser that has left is noticed: it holds a place until then."""

RETRY_MS: Final = 2000
PAUSE_S: Final = 1.0
FLEET_EVERY_S: Final = 1.0
EVERYTHING: Final = "*"
"""What a stream is told when hints may have been lost."""

log = structlog.get_logger()
blueprint: Final = Blueprint("events", __name__)


class Stream:
    """One browser: the machines that changed since it was last told, each once.

    *sites* are those that its person sees; None: all.
    """

    def __init__(self, sites: Sites = None) -> None:
        self.sites = sites
        self._changed: set[str] = set()
        self._bell = threading.Condition()

    def hint(self, machine: str) -> None:
        """Note that *machine* changed."""
        with self._bell:
            self._changed.add(machine)
            self._bell.notify()

    def take(self, timeout_s: float) -> set[str]:
        """Return what changed, waiting up to *timeout_s* seconds for the first."""
        with self._bell:
            if not self._changed:
                self._bell.wait(timeout_s)
            changed, self._changed = self._changed, set()
        return changed


class Hub:
    """One listening connection a process, and the streams that it tells."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._streams: set[Stream] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def open(self, sites: Sites = None) -> Stream | None:
        """Return a new stream of *sites*, or None when there are as many as a worker can hold."""
        with self._lock:
            if len(self._streams) >= STREAMS:
                return None
            stream = Stream(sites)
            self._streams.add(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()
        return stream

    def close(self, stream: Stream) -> None:
        """Forget *stream*."""
        with self._lock:
            self._streams.discard(stream)

    def tell(self, machine: str) -> None:
        """Pass a hint to every stream whose person may know of it."""
        with self._lock:
            streams = list(self._streams)
        site = _site(machine) if any(stream.sites is not None for stream in streams) else None
        for stream in streams:
            if stream.sites is None or machine == EVERYTHING or site in stream.sites:
                stream.hint(machine)

    def _listen(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._hear()
            except Unavailable as exc:
                log.warning("events.paused", why=str(exc))
            pause.wait(PAUSE_S)

    def _hear(self) -> None:
        listener = Listener(self._url, CHANNEL)
        try:
            # What happened while nobody listened is not known: everybody reads again.
            self.tell(EVERYTHING)
            while True:
                for _, machine in listener.wait(KEEP_ALIVE_S):
                    self.tell(machine)
        finally:
            listener.close()


def lines(
    stream: Stream,
    left: Callable[[], bool] = lambda: False,
    *,
    fleet_every_s: float = FLEET_EVERY_S,
) -> Iterator[str]:
    """Yield the stream's text until the browser has *left*: hints as they come.

    That the fleet changed is said at most every *fleet_every_s* seconds, and always in the end:
    each time, a page reads all of its tiles.
    """
    yield f"retry: {RETRY_MS}\n\n"
    owed, fleet_at, said_at = False, -math.inf, time.monotonic()
    while not left():
        changed = stream.take(LOOK_S)
        text, now = "".join(map(_hint, sorted(changed))), time.monotonic()
        owed = owed or bool(changed)
        if owed and now >= fleet_at + fleet_every_s:
            owed, fleet_at = False, now
            text += "event: fleet\ndata: changed\n\n"
        if not text and now >= said_at + KEEP_ALIVE_S:
            text = ": still here\n\n"
        if text:
            said_at = now
            yield text


def _site(hinted: str) -> UUID | None:
    """Return the site of the machine that a hint names; the hint of a discovery names a site."""
    if hinted == EVERYTHING:
        return None
    with borrowed():
        return whereabouts.machine_sites([UUID(hinted)]).get(UUID(hinted), UUID(hinted))


def _hint(machine: str) -> str:
    name = "everything" if machine == EVERYTHING else f"machine-{machine}"
    return f"event: {name}\ndata: {machine}\n\n"


def _has_left(peer: socket.socket) -> bool:
    """Whether the browser closed its end; it sends nothing else, once it has asked."""
    try:
        readable, _, _ = select.select([peer], [], [], 0)
        return bool(readable) and not peer.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True


@blueprint.get("/events")
@does("event.read")
def stream() -> Response:
    """Stream hints; 503 with Retry-After when this worker holds as many as it can."""
    hub: Hub = current_app.extensions["sprout-events"]
    opened = hub.open(visible_sites())
    if opened is None:
        return Response("Too many streams: poll instead.\n", 503, {"Retry-After": "5"})
    peer: socket.socket | None = request.environ.get("gunicorn.socket")
    told = lines(opened) if peer is None else lines(opened, partial(_has_left, peer))
    response = Response(told, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: hub.close(opened))
    return response
