"""The one connection that hears PostgreSQL's NOTIFY, for all streams of the process."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from models.commands import events, moves
from models.database import Listener, Unavailable

LISTEN_S: Final = 15.0
PAUSE_S: Final = 1.0

Heard = Sequence[tuple[str, str]]
"""Channels and what was said there."""

log = structlog.get_logger()


class Ears(threading.Thread):
    """Hears for ever, and passes on what it hears to functions that run in *loop*.

    *again* is called whenever it hears anew: what was said in between is not known.
    """

    def __init__(
        self,
        database_url: str,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[Heard], object],
        again: Callable[[], object],
    ) -> None:
        super().__init__(name="ears", daemon=True)
        self._url, self._loop = database_url, loop
        self._heard, self._again = heard, again
        self.listening = False

    def run(self) -> None:
        """Listen, and listen again whenever the server went away."""
        pause = threading.Event()
        while True:
            try:
                self._listen()
            except Unavailable as exc:
                log.warning("events.paused", why=str(exc))
            except RuntimeError:
                return  # the loop is closed: the process ends
            finally:
                self.listening = False
            pause.wait(PAUSE_S)

    def _listen(self) -> None:
        listener = Listener(self._url, moves.CHANNEL, events.CHANNEL)
        try:
            self.listening = True
            self._loop.call_soon_threadsafe(self._again)
            while True:
                if heard := listener.wait(LISTEN_S):
                    self._loop.call_soon_threadsafe(self._heard, heard)
        finally:
            listener.close()
