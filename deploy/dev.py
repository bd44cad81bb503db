"""PostgreSQL and RabbitMQ for development, on the ports that everybody knows.

python -m deploy.dev up      docker-compose where an engine answers, else Debian's packages
python -m deploy.dev down    stop what `up` started; the data stays

Debian's programs run as plain processes with their data in `.dev/` of the checkout (for root, who
may not run PostgreSQL, in /var/lib/sprout-dev, which user postgres can reach). Loopback only.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
AS_ROOT: Final = os.geteuid() == 0
FOLDER: Final = Path("/var/lib/sprout-dev") if AS_ROOT else ROOT / ".dev"
POSTGRES_PORT: Final = 5432
RABBITMQ_PORT: Final = 5672
RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_S: Final = 60.0
STOP_S: Final = 30.0
URLS: Final = f"""\
SPROUT_DATABASE_URL=postgresql://sprout:sprout@127.0.0.1:{POSTGRES_PORT}/sprout
SPROUT_BROKER=amqp://sprout:sprout@127.0.0.1:{RABBITMQ_PORT}/%2F"""

COMPOSE_SECRETS: Final = (
    "POSTGRES_PASSWORD",
    "RABBITMQ_PASSWORD",
    "SPROUT_ADMIN_TOKEN_HASH",
    "SPROUT_SESSION_KEY",
)
EPMD_PORT: Final = 24369
"""RabbitMQ's port mapper gets one of its own, so that it is ours to stop."""


class CannotStart(Exception):
    """A service did not come up; says why, or where its log lies."""


@dataclass(frozen=True, slots=True)
class Service:
    """A program that is known by its pid file and is ready when its port answers."""

    name: str
    program: bytes
    port: int
    pid_file: Path
    stop_signal: signal.Signals


POSTGRES: Final = Service(
    "PostgreSQL", b"postgres", POSTGRES_PORT, FOLDER / "postgres/postmaster.pid", signal.SIGINT
)
EPMD: Final = Service("epmd", b"epmd", EPMD_PORT, FOLDER / "epmd.pid", signal.SIGTERM)
BROKER: Final = Service(
    "RabbitMQ", b"beam", RABBITMQ_PORT, FOLDER / "rabbitmq/rabbitmq.pid", signal.SIGTERM
)


def up() -> None:
    """Start what does not run yet, and print the variables that lead to it.

    Raises:
        CannotStart: a program is missing, a port is taken, or a service did not come up.
    """
    engine = _engine()
    if engine is not None:
        _compose(engine, "up", "--detach", "postgres", "rabbitmq")
        _wait(lambda: _answers(POSTGRES_PORT), START_S, "PostgreSQL does not answer")
        _wait(lambda: _answers(RABBITMQ_PORT), START_S, "RabbitMQ does not answer")
    else:
        FOLDER.mkdir(parents=True, exist_ok=True)
        _start(POSTGRES, _launch_postgres)
        _start(EPMD, _launch_epmd)
        _start(BROKER, _launch_rabbitmq)
        _make_database()
    print(URLS)


def down() -> None:
    """Stop PostgreSQL, RabbitMQ and RabbitMQ's port mapper, by their ids."""
    engine = _engine()
    if engine is not None:
        _compose(engine, "stop", "postgres", "rabbitmq")
    for service in (BROKER, EPMD, POSTGRES):
        _stop(service)


def _engine() -> list[str] | None:
    """Return the compose command of an engine whose daemon answers, or None."""
    for program in ("docker", "podman"):
        if shutil.which(program) and _succeeds([program, "info"]):
            if _succeeds([program, "compose", "version"]):
                return [program, "compose"]
            if program == "docker" and shutil.which("docker-compose"):
                return ["docker-compose"]
    return None


def _compose(engine: Sequence[str], *verb: str) -> None:
    # The compose file wants every secret, also of services that are not started here.
    variables = {**dict.fromkeys(COMPOSE_SECRETS, "sprout"), **os.environ}
    command = [*engine, "--file", str(ROOT / "docker-compose.yml"), *verb]
    subprocess.run(command, env=variables, check=True)


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _start(service: Service, launch: Callable[[Path], None]) -> None:
    if _pid(service) is not None:
        print(f"{service.name} runs already on port {service.port}")
        return
    if _answers(service.port):
        raise CannotStart(f"{service.name}: port {service.port} is taken by another program")
    log = FOLDER / f"{service.name.lower()}.log"
    launch(log)
    _wait(lambda: _answers(service.port), START_S, f"{service.name} did not start; see {log}")
    print(f"{service.name} listens on 127.0.0.1:{service.port}")


def _stop(service: Service) -> None:
    pid = _pid(service)
    if pid is None:
        return
    os.kill(pid, service.stop_signal)
    _wait(lambda: not _runs(service, pid), STOP_S, f"{service.name} (process {pid}) does not stop")
    print(f"{service.name} stopped")


def _pid(service: Service) -> int | None:
    """Return the process of *service*, or None when it does not run."""
    try:
        pid = int(service.pid_file.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if _runs(service, pid) else None


def _runs(service: Service, pid: int) -> bool:
    # By name too: after a restart of the machine the id may be another's.
    try:
        return service.program in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _wait(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise CannotStart(otherwise)
        time.sleep(0.1)


def _launch_postgres(log: Path) -> None:
    data = POSTGRES.pid_file.parent
    if not (data / "PG_VERSION").exists():
        _initialise(data)
    options = ["-p", str(POSTGRES_PORT), "-h", "127.0.0.1", "-k", str(data)]
    _spawn([_postgres("postgres"), "-D", str(data), *options], log, **_unprivileged())


def _initialise(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    password = data.parent / "password"
    password.write_text("sprout\n", encoding="ascii")
    if AS_ROOT:
        for path in (data, password):
            shutil.chown(path, "postgres", "postgres")
    access = ["-A", "scram-sha-256", "-U", "sprout", f"--pwfile={password}"]
    command = [_postgres("initdb"), "-D", str(data), *access, "-E", "UTF8", "--no-locale", "-N"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **_unprivileged())


def _make_database() -> None:
    server = ["-h", "127.0.0.1", "-p", str(POSTGRES_PORT), "-U", "sprout"]
    environment = {**os.environ, "PGPASSWORD": "sprout"}
    command = [_postgres("psql"), *server, "-d", "sprout", "-c", "SELECT 1"]
    known = subprocess.run(command, env=environment, capture_output=True, check=False)
    if known.returncode:
        subprocess.run([_postgres("createdb"), *server, "sprout"], env=environment, check=True)


def _postgres(program: str) -> str:
    """Return the path of PostgreSQL's *program*, of the newest version that Debian installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if not found:
        raise CannotStart("PostgreSQL is missing: apt-get install postgresql")
    return str(found[-1])


def _unprivileged() -> Mapping[str, Any]:
    """Return who PostgreSQL runs as: it refuses root."""
    if not AS_ROOT:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _launch_epmd(log: Path) -> None:
    epmd = shutil.which("epmd")
    if epmd is None:
        raise CannotStart("RabbitMQ is missing: apt-get install rabbitmq-server")
    pid = _spawn([epmd, "-port", str(EPMD_PORT), "-address", "127.0.0.1"], log)
    EPMD.pid_file.write_text(str(pid), encoding="ascii")


def _launch_rabbitmq(log: Path) -> None:
    if not RABBITMQ.exists():
        raise CannotStart("RabbitMQ is missing: apt-get install rabbitmq-server")
    folder = BROKER.pid_file.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "enabled_plugins").write_text("[].\n", encoding="ascii")
    account = "default_user = sprout\ndefault_pass = sprout\n"
    (folder / "rabbitmq.conf").write_text(account, encoding="ascii")
    variables = {**os.environ, "HOME": str(folder), **_rabbit_variables(folder)}
    _spawn([str(RABBITMQ)], log, env=variables)


def _rabbit_variables(folder: Path) -> dict[str, str]:
    return {
        "ERL_EPMD_PORT": str(EPMD_PORT),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "sprout-dev@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(RABBITMQ_PORT),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(BROKER.pid_file),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
    }


def _spawn(command: Sequence[str], log: Path, **options: Any) -> int:
    """Start *command* in a session of its own, since it outlives us; return its process id."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            **options,
        ).pid


if __name__ == "__main__":
    verbs: dict[tuple[str, ...], Callable[[], None]] = {("up",): up, ("down",): down}
    verb = verbs.get(tuple(sys.argv[1:]))
    if verb is None:
        sys.exit("usage: python -m deploy.dev up|down")
    try:
        verb()
    except CannotStart as exc:
        sys.exit(str(exc))
