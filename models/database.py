"""The one connection pool of the process, and how it is borrowed.

`autoconnect=False`: a thread that forgot to borrow gets an error, not a leaked connection.
"""

import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import peewee
import psycopg2
from playhouse.pool import PooledPostgresqlDatabase  # type: ignore[import-untyped] # no stubs
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, TRANSACTION_STATUS_IDLE

from models.postgres import KEEPALIVE

_BEGIN: Final = b"BEGIN"
_BACK: Final = "ROLLBACK TO"


class _Held(threading.local):
    """Statements of this thread's transaction that the server has not been told yet."""

    def __init__(self) -> None:
        self.statements: list[bytes] = []

    def take(self) -> list[bytes]:
        taken, self.statements = self.statements, []
        return taken


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc] # its base has no stubs
    """A pool that looks at a connection before it lends it, and asks the server nothing.

    Its base asks by a statement, for which all other threads of the process wait.  What nobody
    reads an answer of travels in front of the next statement, or of the commit: half of the time of
    a command is the way to the server and back.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = _Held()

    def later(self, sql: str, params: Any = ()) -> None:
        """Run *sql* in this transaction, before whatever is asked next; at once outside of one.

        What the server has against it is raised there, at the latest by the commit.
        """
        if not self.in_transaction():
            self.execute_sql(sql, params)
            return
        self._held.statements.append(self._whole(sql, params))

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Return the cursor of *sql*, which is run after all that was left for later."""
        held = self._held.take()
        if not held:
            return super().execute_sql(sql, params)
        if sql.startswith(_BACK):
            # All of it came after the savepoint, which had what came before it sent.
            return super().execute_sql(sql, params)
        return self._sent([*held, self._whole(sql, params or ())])

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction with its first statement."""
        level = isolation_level or self._isolation_level
        if level:
            super().begin(isolation_level)
            return
        self._held.statements = [_BEGIN]

    def commit(self) -> None:
        """Commit, if anything was asked at all."""
        held = self._held.take()
        if not held:
            super().commit()
        elif held != [_BEGIN]:
            self._sent([*held, b"COMMIT"])

    def rollback(self) -> None:
        """Take back what the server was told, and tell it nothing more."""
        held = self._held.take()
        if held[:1] != [_BEGIN]:
            super().rollback()

    def _whole(self, sql: str, params: Any) -> bytes:
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined] # its stubs lack it
            found: bytes = self.cursor().mogrify(sql, params)
        return found.rstrip(b"; \n")

    def _sent(self, statements: Sequence[bytes]) -> Any:
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined] # its stubs lack it
            cursor = self.cursor()
            cursor.execute(b";\n".join(statements))
        return cursor

    def _is_closed(self, conn: Any) -> bool:
        if conn.closed or conn.info.transaction_status != TRANSACTION_STATUS_IDLE:
            return bool(super()._is_closed(conn))
        # Who hangs up, or says farewell, is heard; nothing else is said to a connection at rest.
        poll = select.poll()
        poll.register(conn.fileno(), select.POLLIN)
        return bool(poll.poll(0))


database: Final = _Pool(None, autoconnect=False)

LOST: Final = (
    peewee.OperationalError,
    peewee.InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
"""The server went away, or a lock or statement took too long: nothing was committed."""

_TOO_MUCH: Final = "54"
"""Class of states in which the statement itself exceeds a limit of PostgreSQL, now and always.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""


_ALONE: Final = 0x5B0A8
"""The class of advisory locks by which processes keep each other from an outside system."""


class Unavailable(Exception):
    """The database cannot be reached, or the connection broke in the middle."""


def configure(url: str, *, connections: int) -> None:
    """Point the pool at *url* (postgresql://…), with at most *connections* at once."""
    database.init(
        url,
        max_connections=connections,
        stale_timeout=300,
        timeout=10,
        connect_timeout=5,
        application_name="sprout",
        options="-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000",
    )


@contextmanager
def borrowed() -> Iterator[None]:
    """A connection for the block, returned after it only if the block opened it.

    Raises Unavailable when the server cannot be reached or went away; the broken connection is
    thrown away, so that the next block starts afresh.  A statement that no try can help is no
    such thing: its own error leaves the block.
    """
    try:
        opened = database.connect(reuse_if_open=True)
    except Exception as exc:
        raise Unavailable(str(exc).strip()) from exc
    try:
        yield
    except LOST as exc:
        if _state(exc).startswith(_TOO_MUCH):
            raise
        _discard()
        raise Unavailable(str(exc).strip()) from exc
    finally:
        if opened and not database.is_closed():
            database.close()


def _state(exc: Exception) -> str:
    """Return the SQLSTATE that the server gave, if it gave one; peewee wraps its error."""
    return getattr(getattr(exc, "orig", exc), "pgcode", None) or ""


def _discard() -> None:
    with suppress(Exception):
        database.manual_close()


@contextmanager
def alone(key: int) -> Iterator[bool]:
    """Whether no other process does what *key* names: until the block ends, or its connection.

    *key* is of 32 bits, signed.  A connection is held meanwhile.  Raises Unavailable.
    """
    with borrowed():
        lock = "SELECT pg_try_advisory_lock(%s, %s)"
        (mine,) = database.execute_sql(lock, (_ALONE, key)).fetchone()
        try:
            yield bool(mine)
        finally:
            if mine:
                database.execute_sql("SELECT pg_advisory_unlock(%s, %s)", (_ALONE, key))


def in_turn(what: str) -> None:
    """Wait for other transactions that do *what*, and have them wait until this one ends."""
    database.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (what,))


def reachable() -> bool:
    """Whether the database answers a query now."""
    try:
        with borrowed():
            database.execute_sql("SELECT 1")
    except Unavailable:
        return False
    return True


class Listener:
    """A connection of its own that hears NOTIFY on some channels."""

    def __init__(self, url: str, *channels: str) -> None:
        """Connect and listen.  Raises Unavailable."""
        try:
            # A server that vanished without a word is noticed too.
            self._connection: Any = psycopg2.connect(url, **KEEPALIVE)
            self._connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with self._connection.cursor() as cursor:
                for channel in channels:
                    cursor.execute(f'LISTEN "{channel}"')
        except psycopg2.Error as exc:
            raise Unavailable(str(exc).strip()) from exc

    def wait(self, timeout_s: float) -> list[tuple[str, str]]:
        """Return (channel, payload) of what was heard, [] after *timeout_s* seconds of silence.

        Raises Unavailable when the connection broke.
        """
        try:
            if not self._connection.notifies:
                select.select([self._connection], [], [], timeout_s)
            self._connection.poll()
        except (psycopg2.Error, OSError, ValueError) as exc:
            raise Unavailable(str(exc).strip()) from exc
        heard = [(n.channel, n.payload) for n in self._connection.notifies]
        self._connection.notifies.clear()
        return heard

    def close(self) -> None:
        """Stop listening."""
        with suppress(psycopg2.Error):
            self._connection.close()
