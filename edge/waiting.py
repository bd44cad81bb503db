"""Who asks for events and waits a while for the first: woken by hints, not by looking all the time.

Each holds a thread of the edge, so a worker has at most WAITERS of them; others are answered at
once.  Streams are for the events process: `edge.events`.
"""

import threading
from typing import Final

import structlog

from models.commands import events, moves
from models.database import Listener, Unavailable

WAITERS: Final = 8
LISTEN_S: Final = 15.0
PAUSE_S: Final = 1.0

log = structlog.get_logger()


class Bell:
    """One who waits: rung whenever something happened."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wake who waits, or who will."""
        self._rung.set()

    def wait(self, timeout_s: float) -> None:
        """Return when it was rung since the last time, at the latest after *timeout_s* seconds."""
        self._rung.wait(timeout_s)
        self._rung.clear()


class Ringer:
    """One listening connection a process, made when somebody first waits."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._bells: set[Bell] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self) -> Bell | None:
        """Return a new bell, or None when as many wait as a worker can hold."""
        with self._lock:
            if len(self._bells) >= WAITERS:
                return None
            bell = Bell()
            self._bells.add(bell)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()
        return bell

    def give_back(self, bell: Bell) -> None:
        """Ring *bell* no more."""
        with self._lock:
            self._bells.discard(bell)

    def ring(self) -> None:
        """Wake all who wait."""
        with self._lock:
            bells = list(self._bells)
        for bell in bells:
            bell.ring()

    def _listen(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._hear()
            except Unavailable as exc:
                log.warning("events.paused", why=str(exc))
            pause.wait(PAUSE_S)

    def _hear(self) -> None:
        listener = Listener(self._url, moves.CHANNEL, events.CHANNEL)
        try:
            # What happened while nobody listened is not known: everybody looks again.
            self.ring()
            while True:
                if listener.wait(LISTEN_S):
                    self.ring()
        finally:
            listener.close()
