"""Sessions at BMCs that wait for the next task, and are closed when none comes.

BMCs have few sessions, and some end all of them when one too many is begun: one is kept for each
BMC and user, for IDLE_S after its last task, and MOST in all.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import requests

from actors.drivers import outbound, reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError
from config.secrets import Secret

IDLE_S: Final = 15.0
MOST: Final = 256
_LOGOUT_S: Final = 3.0


class Owner(NamedTuple):
    """Whose a session is: another password is another's."""

    base: str
    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Session:
    """One session: *path* is its resource, at the BMC that *rules* let us ask."""

    owner: Owner
    token: Secret
    path: str
    rules: reach.Rules
    verify: bool

    def end(self) -> None:
        """Log out; where that fails, the BMC ends it when its own time is over."""
        deadline = Deadline.after(_LOGOUT_S)
        caller = outbound.Caller(self.owner.base, self.rules, deadline, seen=lambda _: None)
        url = outbound.joined(self.owner.base, self.path)
        headers = {"X-Auth-Token": self.token.reveal()}
        with suppress(DriverError, requests.RequestException):
            caller.request("DELETE", url, json=None, headers=headers, verify=self.verify)
        caller.close()


@dataclass(slots=True)
class Loan:
    """A session while a task may use it; what is here at the end is what goes back."""

    session: Session | None = None


class Sessions:
    """The sessions of one process that no task uses now."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, idle_s: float = IDLE_S
    ) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._kept: dict[Owner, tuple[float, Session]] = {}
        self._changed = threading.Condition()
        self._sweeper: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def lent(self, owner: Owner) -> Iterator[Loan]:
        """Lend the session that waits for *owner*, if one does; what is left then waits."""
        with self._changed:
            loan = Loan(self._kept.pop(owner, (0.0, None))[1])
        try:
            yield loan
        finally:
            if loan.session is not None:
                self._keep(loan.session)

    def _keep(self, session: Session) -> None:
        with self._changed:
            former = self._kept.pop(session.owner, None)
            self._kept[session.owner] = self._clock() + self._idle_s, session
            surplus = [former[1]] if former else []
            if self._closed or len(self._kept) > MOST:
                surplus.append(self._kept.pop(next(iter(self._kept)))[1])
            self._watched()
        for each in surplus:
            each.end()

    def close(self) -> None:
        """End all that wait, and from now on each that comes."""
        with self._changed:
            self._closed = True
            left = [session for _, session in self._kept.values()]
            self._kept.clear()
            self._changed.notify()
        for session in left:
            session.end()

    def _watched(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = threading.Thread(target=self._sweep, name="bmc-sessions", daemon=True)
            self._sweeper.start()

    def _sweep(self) -> None:
        while (over := self._awaited()) is not None:
            for session in over:
                session.end()

    def _awaited(self) -> list[Session] | None:
        """Wait until sessions were idle for too long; None: nothing waits any more."""
        with self._changed:
            while not self._closed and self._kept:
                now = self._clock()
                over = [owner for owner, (until, _) in self._kept.items() if until <= now]
                if over:
                    return [self._kept.pop(owner)[1] for owner in over]
                self._changed.wait(min(until for until, _ in self._kept.values()) - now)
            self._sweeper = None
            return None
