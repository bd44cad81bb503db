"""The data folder: owner-only, held by one supervisor at a time, keeper of secrets and ports."""

import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

_PORTS: Final = range(20_000, 32_000)
"""Below Linux's ephemeral range (32768 up), so that no outgoing connection takes a kept port."""

_TRIES: Final = 200


class AlreadyRunning(Exception):
    """Another supervisor holds this data folder."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(f"{path} is in use: Sprout is already running as process {pid or '?'}")
        self.pid = pid


class NoFreePort(Exception):
    """No port of our range can be bound on loopback."""


class Folder:
    """One data folder; made at first use, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self.path = path
        self.logs = self._inner("log")
        self.roster = path / "processes.json"

    def _inner(self, name: str) -> Path:
        inner = self.path / name
        inner.mkdir(mode=0o700, exist_ok=True)
        return inner

    def home(self, name: str) -> Path:
        """Return the folder of the server *name*, made when missing."""
        return self._inner(name)

    @contextmanager
    def held(self) -> Iterator[Self]:
        """Hold the folder for the block; the kernel lets go when the holder dies.

        Raises:
            AlreadyRunning: somebody else holds it.
        """
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(self.path, os.read(lock, 20).decode().strip()) from None
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            yield self
        finally:
            os.close(lock)

    def has_secret(self, name: str) -> bool:
        """Say whether *name* was generated before."""
        return name in _read(self.path / "secrets.json")

    def secret(self, name: str) -> str:
        """Return the secret *name*: 256 random bits in URL-safe letters, made once and kept."""
        return self.once(name, lambda: secrets.token_urlsafe(32))

    def once(self, name: str, make: Callable[[], str]) -> str:
        """Return the secret *name* as it is kept; *make* makes it the first time."""
        kept = _read(self.path / "secrets.json")
        if name not in kept:
            kept = {**kept, name: make()}
            write_private(self.path / "secrets.json", json.dumps(kept, indent=1))
        return str(kept[name])

    def port(self, name: str) -> int:
        """Return the loopback port of *name*: the one it had before, unless that is taken.

        Raises:
            NoFreePort: none could be bound.
        """
        kept = _read(self.path / "ports.json")
        others = {port for owner, port in kept.items() if owner != name}
        for port in _candidates(kept.get(name)):
            if port not in others and is_free("127.0.0.1", port):
                write_private(self.path / "ports.json", json.dumps({**kept, name: port}, indent=1))
                return port
        raise NoFreePort(f"no free port on 127.0.0.1 in {_PORTS.start}-{_PORTS.stop - 1}")


def write_private(path: Path, text: str) -> None:
    """Replace *path* by *text*, whole or not at all, readable by its owner alone (0600)."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _read(path: Path) -> Mapping[str, object]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _candidates(kept: object) -> Iterator[int]:
    if isinstance(kept, int):
        yield kept
    yield from random.sample(_PORTS, _TRIES)


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen on *host* (an address) and *port* now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections in TIME_WAIT do not count, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
