"""`sprout up` with real PostgreSQL and RabbitMQ, as root and as a normal user, through its deaths.

Edge, control and migrations are stand-ins here: what is tested is who is started, and what is left.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pika
import psutil
import psycopg2
import pytest

from edge.cli.local.folder import Folder
from tests.services.changes import awaited

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
NOBODY = 65534
USERS = ("root", "nobody") if os.geteuid() == 0 else ("self",)

READY = "database system is ready to accept connections"

DRIVER = """
import json, sys
from config.settings import Settings
from edge.cli.local.up import Up

settings = Settings.load()
modules = {
    "migrations": tuple(json.loads(sys.argv[1])),
    "edge": ("http.server", settings.bind.rpartition(":")[2], "--bind", "127.0.0.1"),
    "agents": ("http.server", "0", "--bind", "127.0.0.1"),
    "control": ("http.server", "0", "--bind", "127.0.0.1"),
    "events": ("http.server", "0", "--bind", "127.0.0.1"),
}

def tell(up, core):
    told = {"database": core.database_url, "broker": core.broker_url, "api": core.api_url}
    print("up", json.dumps(told | {"running": dict(up.running())}), flush=True)

status = Up(settings, [tell], modules=modules).run()
print("exit", status, flush=True)
sys.exit(status)
"""


class Start:
    """One `sprout up` in a process of its own."""

    def __init__(
        self,
        data: Path,
        *,
        prefix=(),
        migrations=("platform",),
        **env: str,
    ) -> None:
        data.mkdir(exist_ok=True)
        empty = data.parent / "empty"
        empty.mkdir(exist_ok=True)
        port = Folder(data.parent / "ports").port("edge")
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
        ours = {"SPROUT_DATA_DIR": str(data), "SPROUT_BIND": f"127.0.0.1:{port}"}
        self.process = subprocess.Popen(
            (*prefix, sys.executable, "-c", DRIVER, json.dumps(migrations)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=empty,
            env={**base, **ours, **env},
            start_new_session=True,
        )
        self.lines: list[str] = []

    def until(self, word: str) -> str:
        """Read lines until one starts with *word*; return the rest of it."""
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(f"{word} "):
                return line.removeprefix(f"{word} ").strip()
        raise AssertionError(f"it ended without {word}:\n{''.join(self.lines)}")

    def core(self) -> dict:
        return json.loads(self.until("up"))

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def interrupt(self) -> int:
        """Press Ctrl-C: the whole foreground group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.interrupt()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path):
    """Start Sprout on one data folder, as often as a test wants."""
    starts: list[Start] = []

    def begin(user: str = USERS[0], **more) -> Start:
        as_whom = as_nobody(tmp_path / "data") if user == "nobody" else {}
        starts.append(Start(tmp_path / "data", **(as_whom | more)))
        return starts[-1]

    yield begin
    for each in starts:
        each.close()


def as_nobody(data: Path) -> dict:
    """Be a normal user, who may read what root has closed: this checkout may lie below /root."""
    data.mkdir(exist_ok=True)
    os.chown(data, NOBODY, NOBODY)
    become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    # access(2) knows of that only with no_setuid_fixup: capabilities(7).
    return {"prefix": (*become, *reading, "--securebits=+no_setuid_fixup")}


def ask(url: str, *statements: str) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def are_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=60)[1]


def test_data_outlives_ctrl_c_and_processes_do_not(start, user):
    first = start(user)
    core = first.core()
    ask(core["database"], "create table kept (word text)", "insert into kept values ('kept')")
    put(core["broker"], b"kept")
    processes = first.descendants()

    status = first.interrupt()

    assert (status, are_gone(processes)) == (0, True)
    second = start(user)
    assert second.core()["database"] == core["database"]
    assert ask(core["database"], "select word from kept") == [("kept",)]
    assert take(core["broker"]) == b"kept"


def put(url: str, body: bytes) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", "kept", body, persistent)


def take(url: str) -> bytes:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        return connection.channel().basic_get("kept", auto_ack=True)[2]


@pytest.fixture(params=USERS)
def user(request) -> str:
    return request.param


def test_after_a_sigkill_the_next_start_finds_nothing_in_its_way(start):
    killed = start()
    core = killed.core()
    ask(core["database"], "create table kept (word text)")
    processes = killed.descendants()

    killed.process.kill()
    core = start().core()

    assert are_gone(processes)
    assert ask(core["database"], "select * from kept") == []
    assert take_from_empty(core["broker"])


def take_from_empty(url: str) -> bool:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        return connection.is_open


def test_servers_listen_on_loopback_alone_and_want_their_passwords(start):
    first = start()
    core = first.core()

    listeners = {
        ip_address(connection.laddr.ip)
        for process in first.descendants()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listeners
    assert all(address.is_loopback for address in listeners)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(core["database"].replace(":", ":wrong", 2).replace("wrong//", "//"), "select 1")
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        put("amqp://guest:guest@" + core["broker"].rpartition("@")[2], b"")


def test_no_server_runs_as_root_though_the_folder_is_closed_to_all_others(start, tmp_path):
    core = start().core()

    servers = [psutil.Process(core["running"][name]) for name in ("postgres", "rabbitmq", "epmd")]

    assert os.geteuid() != 0 or 0 not in {server.uids().real for server in servers}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_start_that_may_not_mount_as_root_of_a_container_is_served_too(start):
    # What container engines leave to root.
    left = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service"
    bounded = ("setpriv", f"--bounding-set=-all,+{left.replace(',', ',+')}", "--")

    core = start(prefix=bounded if os.geteuid() == 0 else ()).core()

    assert ask(core["database"], "select 1") == [(1,)]
    assert take_from_empty(core["broker"])


def test_ctrl_c_during_the_start_leaves_nothing(start, tmp_path):
    early = start(SPROUT_BROKER="postgres", migrations=("http.server", "0"))
    roster = tmp_path / "data" / "processes.json"
    awaited(tmp_path / "data", lambda: roster.exists() and "migrations" in roster.read_text())
    processes = early.descendants()

    status = early.interrupt()

    assert (status, are_gone(processes)) == (130, True)


def test_a_second_start_on_the_same_folder_is_refused_with_the_pid(start):
    first = start(SPROUT_BROKER="postgres")
    first.core()

    second = start(SPROUT_BROKER="postgres")

    assert second.process.wait(timeout=60) == 1
    assert f"already running as process {first.process.pid}" in second.process.stdout.read()


def test_a_database_that_is_killed_comes_back_with_its_data(start, tmp_path):
    first = start(SPROUT_BROKER="postgres")
    core = first.core()
    ask(core["database"], "create table kept (word text)")
    log = tmp_path / "data" / "log" / "postgres.log"
    before = len(log.read_text())

    os.kill(core["running"]["postgres"], signal.SIGKILL)

    first.until("postgres ended (SIGKILL); it is started again in")
    awaited(log.parent, lambda: READY in log.read_text()[before:])
    assert ask(core["database"], "select * from kept") == []


def test_a_lock_file_that_names_a_stranger_does_not_stop_the_database(start, tmp_path):
    first = start(SPROUT_BROKER="postgres")
    first.core()
    lock = tmp_path / "data" / "postgres" / "data" / "postmaster.pid"
    text = lock.read_text()
    first.interrupt()
    lock.write_text(text.replace(text.split()[0], str(os.getpid()), 1))  # a reused pid: ours

    assert start(SPROUT_BROKER="postgres").core()


def test_a_start_says_which_broker_it_took_and_why(start):
    asked = start(SPROUT_BROKER="postgres")

    assert asked.until("broker:") == "the embedded queue in PostgreSQL, as asked"


def test_with_servers_elsewhere_none_is_brought_along(start):
    core = start(
        SPROUT_BROKER="amqp://u:hidden@mq.example/v",
        SPROUT_DATABASE_URL="postgresql://u:hidden@db.example/d",
    )
    told = core.core()

    assert set(told["running"]) == {"edge", "events", "control"}
    assert told["broker"] == "amqp://u:hidden@mq.example/v"
    assert "hidden" not in "".join(core.lines[:-1])


def test_with_tls_agents_have_a_listener_of_their_own(start):
    told = start(
        SPROUT_BROKER="amqps://u:p@mq.example/v",
        SPROUT_DATABASE_URL="postgresql://u:p@db.example/d",
        SPROUT_TLS_ENABLED="true",
    ).core()

    assert set(told["running"]) == {"edge", "agents", "events", "control"}


def test_an_address_that_is_taken_is_named_before_anything_is_started(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        refused = start(SPROUT_BIND=bind)

        assert refused.until("exit") == "1"

    assert f"sprout: {bind} is taken by another program" in "".join(refused.lines)
    assert not (tmp_path / "data" / "processes.json").exists()


def test_the_api_is_where_the_edge_listens(start):
    api = urlsplit(start(SPROUT_BROKER="postgres").core()["api"])

    with closing(HTTPConnection(api.hostname, api.port, timeout=60)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().status == 200


def test_a_migration_that_fails_ends_the_start_with_its_words(start):
    failed = start(SPROUT_BROKER="postgres", migrations=("no_such_module",))

    assert failed.until("exit") == "1"
    assert "sprout: migrations did not start: exit 1" in "".join(failed.lines)
    assert "No module named no_such_module" in "".join(failed.lines)


def test_a_database_whose_password_is_lost_is_not_touched(start, tmp_path):
    first = start(SPROUT_BROKER="postgres")
    first.core()
    first.interrupt()
    (tmp_path / "data" / "secrets.json").unlink()

    lost = start(SPROUT_BROKER="postgres")

    assert lost.until("exit") == "1"
    assert "secrets.json is lost: restore it, or remove" in "".join(lost.lines)
