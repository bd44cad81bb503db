"""Who is logged in to a BMC: tokens that end by logout or by not being used."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

SHORTEST: Final = 30
LONGEST: Final = 86400
"""Seconds; what SessionTimeout may be set to (DSP0268, SessionService)."""

MOST: Final = 32
"""A BMC has few session slots, and a client that never logs out fills them."""


class Full(Exception):
    """All session slots are taken."""


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    token: str
    user: str
    used: float


class Sessions:
    """Not locked: the service calls it with its own lock held."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.timeout = 600
        self._clock = clock
        self._open: dict[str, Session] = {}

    def open(self, user: str) -> Session:
        """Return a new session, or raise Full."""
        if len(self.all()) >= MOST:
            raise Full
        session = Session(secrets.token_hex(4), secrets.token_urlsafe(24), user, self._clock())
        self._open[session.id] = session
        return session

    def user_of(self, token: str) -> str | None:
        """Return who has this token, and count it as used now; None when nobody has."""
        for session in self.all():
            if secrets.compare_digest(session.token.encode(), token.encode()):
                self._open[session.id] = replace(session, used=self._clock())
                return session.user
        return None

    def close(self, session_id: str) -> None:
        """Raise KeyError when there is no such session."""
        del self._open[session_id]

    def all(self) -> list[Session]:
        """Return the sessions that have not run out."""
        oldest = self._clock() - self.timeout
        self._open = {s.id: s for s in self._open.values() if s.used > oldest}
        return list(self._open.values())
