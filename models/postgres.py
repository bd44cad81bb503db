"""Plain PostgreSQL connections, for what a pool of peewee's does not do: to wait for a NOTIFY.

With `models/database.py` the owner of psycopg2.  Every wait on the network is bounded.
"""

import selectors
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, Self

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name

KEEPALIVE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
    }
)
"""libpq parameters: seconds, but `tcp_user_timeout` in milliseconds."""

STATEMENT_TIMEOUT_MS: Final = 20_000


class Disconnected(Exception):
    """The server cannot be reached, or hung up; nothing is known of the statement under way."""


class Refused(Exception):
    """The server understood, and said no: a privilege, a constraint, a policy."""


class Session:
    """One connection in autocommit mode: each statement is its own transaction.

    For one thread at a time; :meth:`wake` alone may be called from any.
    """

    def __init__(self, url: str, *, name: str) -> None:
        """Connect to *url* as application *name*.  Raises Disconnected."""
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
        try:
            self._connection: Connection = psycopg2.connect(
                url, application_name=name, options=options, **KEEPALIVE
            )
        except psycopg2.OperationalError as exc:
            raise Disconnected(str(exc).strip()) from exc
        self._connection.autocommit = True
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Run one statement and return its rows.  Raises Disconnected, Refused.

        Without *values* a percent sign stands for itself.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as exc:
            raise Disconnected(str(exc).strip()) from exc
        except psycopg2.Error as exc:
            raise Refused(str(exc).strip()) from exc

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the channels notified since the last call; wait for one, or a wake, if none.

        Raises Disconnected.
        """
        try:
            if not self._connection.notifies:
                self._selector.select(seconds)
                self._silence()
                self._connection.poll()
        except (psycopg2.OperationalError, psycopg2.InterfaceError, ValueError) as exc:
            raise Disconnected(str(exc).strip()) from exc
        channels = frozenset(notify.channel for notify in self._connection.notifies)
        self._connection.notifies.clear()
        return channels

    def wake(self) -> None:
        """End the wait of the thread that owns this session, now or at its next one."""
        with suppress(OSError):  # full: it is woken already; closed: it waits no more
            self._rope.send(b"!")

    def close(self) -> None:
        """Hang up.  May be repeated."""
        self._selector.close()
        self._bell.close()
        self._rope.close()
        self._connection.close()

    def _silence(self) -> None:
        with suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass
