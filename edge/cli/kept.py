"""Logins that are kept between commands: tokens in the keyring, else in a file of mode 0600.

Rule 1: a token is kept for one API, and shown to no other.
Rule 2: one process at a time changes what is kept, and renews a token: an issuer that turns
        refresh tokens over takes a second use of the same for theft.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edge.cli import terminal
from edge.cli.client import STRANGER, Told
from edge.cli.device_flow import Issuer, Tokens
from edge.cli.local.folder import write_private

SERVICE: Final = "sprout"
LEEWAY_S: Final = 30
"""A token that is good for less is renewed first: requests take a while."""

_FILE: Final = "logins.json"
_RING_LEAST: Final = 1
"""Priority of the least backend that keyring itself recommends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Somebody logged in at *api*, by *issuer*."""

    api: str
    issuer: Issuer
    tokens: Tokens = field(repr=False)

    @property
    def is_fresh(self) -> bool:
        """Whether its access token is good for a while yet, as far as anybody said."""
        until = self.tokens.until
        return until is None or until > time.time() + LEEWAY_S

    def bare(self) -> dict[str, Any]:
        """Return what of it is no secret."""
        parts = ("name", "client", "device_endpoint", "token_endpoint", "revocation_endpoint")
        return {name: getattr(self.issuer, name) for name in parts} | {"until": self.tokens.until}

    @classmethod
    def of(cls, api: str, bare: Mapping[str, Any], secret: Mapping[str, str]) -> Self:
        """Return the login that was kept.  Raises KeyError, TypeError."""
        about = dict(bare)
        until = about.pop("until")
        about.pop("secret", None)
        tokens = Tokens(access=secret["access"], refresh=secret["refresh"], until=until)
        return cls(api=api, issuer=Issuer(**about), tokens=tokens)


class Logins:
    """The logins of the user who runs this, in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _FILE

    def find(self, api: str) -> Login | None:
        """Return the login at *api*, None without one.  Raises Told."""
        bare = self._all().get(api)
        if bare is None:
            return None
        secret = bare.get("secret") or self._from_ring(api)
        try:
            return Login.of(api, bare, secret)
        except (KeyError, TypeError, AttributeError):
            raise Told(f"{self._path} holds no login that makes sense", "sprout login") from None

    def keep(self, login: Login) -> str:
        """Keep *login*; return where, in words.  Raises Told."""
        with self._alone():
            return self._kept(login)

    def _kept(self, login: Login) -> str:
        secret = {"access": login.tokens.access, "refresh": login.tokens.refresh}
        kept = {**self._all(), login.api: login.bare()}
        where = _into_ring(login.api, secret)
        if not where:
            kept[login.api]["secret"] = secret
        self._write(kept)
        return where or str(self._path)

    def forget(self, api: str) -> None:
        """Forget the login at *api*.  Raises Told."""
        with self._alone():
            kept = self._all()
            bare = kept.pop(api, None)
            if bare is not None and "secret" not in bare:
                _out_of_ring(api)
            self._write(kept)

    def fresh(self, api: str, renew: Callable[[Login], Tokens]) -> Login | None:
        """Return the login at *api*, its token renewed if need be.  Raises Told."""
        found = self.find(api)
        if found is None or found.is_fresh:
            return found
        with self._alone():
            # Somebody else may have renewed it while we waited.
            found = self.find(api)
            if found is None or found.is_fresh:
                return found
            made = Login(api=api, issuer=found.issuer, tokens=renew(found))
            self._kept(made)
            return made

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            raise Told(f"cannot read {self._path}: {exc}", "Delete it, and: sprout login") from None
        logins = found if isinstance(found, dict) else {}
        return {api: bare for api, bare in logins.items() if isinstance(bare, dict)}

    def _write(self, kept: Mapping[str, Any]) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, json.dumps(kept, indent=1))
        except OSError as exc:
            raise Told(f"cannot write {self._path}: {exc.strerror}") from exc

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads in order to write for the block.  Raises Told."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / f"{_FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise Told(f"cannot write in {self._folder}: {exc.strerror}") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _from_ring(self, api: str) -> Mapping[str, str]:
        ring = _ring()
        try:
            text = ring.get_password(SERVICE, api) if ring is not None else None
            found = json.loads(text or "null")
        except Exception as exc:
            # Backends raise whatever their system raises.
            raise Told(f"the keyring does not open: {exc}", "Unlock it, or: sprout login") from exc
        if not isinstance(found, dict):
            raise Told(
                "the keyring has no token for this login any more", "sprout login", status=STRANGER
            )
        return found


def _ring() -> Any:
    """Return the keyring's backend, None where there is none worth its name."""
    try:
        import keyring
    except ImportError:
        return None
    backend = keyring.get_keyring()
    return backend if backend.priority >= _RING_LEAST else None


def _into_ring(api: str, secret: Mapping[str, str]) -> str:
    """Put *secret* into the keyring; return which it is, nothing where that cannot be."""
    ring = _ring()
    if ring is None:
        return ""
    try:
        ring.set_password(SERVICE, api, json.dumps(secret))
    except Exception as exc:  # noqa: BLE001 - backends raise whatever their system raises
        terminal.tell(f"the keyring takes no token ({type(exc).__name__}): a file is used")
        return ""
    return f"the keyring ({ring.name})"


def _out_of_ring(api: str) -> None:
    ring = _ring()
    if ring is not None:
        with suppress(Exception):  # gone already, or locked: without the file it is not found
            ring.delete_password(SERVICE, api)
