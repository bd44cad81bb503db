"""Flask's session, kept in PostgreSQL: the cookie is a random name, and only its hash is kept.

Rule 1: it is read when it is first asked for; a request with a token reads none.
Rule 2: whoever comes in gets a new name: one that somebody else gave him is worth nothing.
Rule 3: hashes are keyed with the edge's secret key, which is bound to how people come in: another
        admin's token or password ends all sessions.
"""

import hmac
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

from models.commands import sessions
from models.database import borrowed

LIFE: Final = timedelta(hours=12)
STRANGERS_LIFE: Final = timedelta(minutes=10)
"""Of a session whose person has not come in yet: as long as that may take."""

WHO: Final = "operator"
"""What stands in the session of who came in."""

_BYTES: Final = 32
_LONGEST: Final = 64


class Session(SessionMixin):
    """What is kept of one browser."""

    def __init__(self, name: str, key: bytes) -> None:
        self._name, self._key = name, key
        self._known: dict[str, Any] | None = None if name else {}
        self.modified = False
        self.new = not name

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._data[key] = value
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self._data[key]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def begin(self, **data: Any) -> None:
        """Drop what is known and its name, and hold *data* under a new one."""
        self.end()
        self._known = dict(data)
        self.modified = True

    def end(self) -> None:
        """Forget all of it."""
        if self._name:
            with borrowed():
                sessions.forget(self.hash)
        self._name, self._known, self.modified = "", {}, True

    def keep(self) -> str:
        """Write it down; return its name."""
        self._name = self._name or secrets.token_urlsafe(_BYTES)
        with borrowed():
            sessions.write(self.hash, self._data, life=self.life)
        return self._name

    @property
    def life(self) -> timedelta:
        """Return how long it lasts."""
        return LIFE if WHO in self._data else STRANGERS_LIFE

    @property
    def _data(self) -> dict[str, Any]:
        if self._known is None:
            with borrowed():
                found = sessions.read(self.hash)
            self._known = dict(found or {})
            if found is None:
                self._name = ""  # unknown, or over: nobody chooses his own name
        return self._known

    @property
    def hash(self) -> str:
        """Return what it is kept under: nobody comes by its name from that."""
        return hmac.digest(self._key, self._name.encode(errors="replace"), "sha256").hex()


class Stored(SessionInterface):
    """How Flask comes by sessions."""

    def open_session(self, app: Flask, request: Request) -> Session | None:
        """Return the session of *request*; None where there is no key to know any by."""
        if not app.secret_key:
            return None
        key = app.secret_key if isinstance(app.secret_key, bytes) else app.secret_key.encode()
        name = request.cookies.get(self.get_cookie_name(app), "")
        return Session(name if len(name) <= _LONGEST else "", key)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write down what was changed, and have the browser keep the name, or drop it."""
        if not isinstance(session, Session) or not session.modified:
            return
        response.vary.add("Cookie")
        where: dict[str, Any] = {
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": True,
            "samesite": self.get_cookie_samesite(app),
        }
        name = self.get_cookie_name(app)
        if not session:
            session.end()
            response.delete_cookie(name, **where)
            return
        response.set_cookie(name, session.keep(), max_age=session.life, **where)
