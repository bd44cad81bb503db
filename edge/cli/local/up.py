"""`sprout up`: database, broker, edge and control on one machine, and what comes after them.

    with Up(settings) as up:
        core = up.start_core()              # all of it is ready, or an exception says what is not
        up.start(Process(...))              # site, rack, ...: under the same supervisor
        up.wait()                           # until Ctrl-C or SIGTERM

or `Up(settings, steps).run()`, which does the same with each step in turn, and returns the exit
status.  Whatever happens, leaving the block ends every process.
"""

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from config.settings import Settings
from edge.cli.local import postgres, rabbitmq, signals, sweep
from edge.cli.local.child import DidNotStart, Say
from edge.cli.local.folder import AlreadyRunning, Folder, NoFreePort
from edge.cli.local.process import Answering, Finished, Process, Ready, Service, Started
from edge.cli.local.supervisor import NotReady, Supervisor

START_S: Final = 120.0
"""Seconds that everything may take to come up: a first start on a slow machine."""

MODULES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "migrations": ("models.migrations",),
        "edge": ("edge.serve",),
        "control": ("actors.control",),
        "site": ("actors.site",),
        "rack": ("deploy.rack",),
    }
)
"""Arguments of `python -m` by the name of the process."""

TROUBLE: Final = (
    AlreadyRunning,
    NoFreePort,
    DidNotStart,
    NotReady,
    postgres.NoPostgres,
    postgres.NotMade,
    postgres.LostPassword,
)
"""What an operator can mend: shown as a sentence, without a trace."""

_SAY: Final = partial(print, flush=True)  # events must not wait in the buffer of a pipe
_ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What runs now, and how to reach it.

    Attributes:
        env: the environment that our processes are started with; it holds secrets.
        broker: what the broker is, in words.
    """

    env: Mapping[str, str] = field(repr=False)
    api_url: str
    admin_token: str = field(repr=False)
    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    broker: str


Step = Callable[["Up", Core], int | None]
"""Runs after the core is up; an exit status ends everything, None goes on to the next step."""


class Up:
    """One start of Sprout on one data folder."""

    def __init__(
        self,
        settings: Settings,
        steps: Iterable[Step] = (),
        *,
        say: Say = _SAY,
        modules: Mapping[str, tuple[str, ...]] = MODULES,
    ) -> None:
        self._settings = settings
        self._steps = tuple(steps)
        self._say = say
        self._modules = modules
        self._held = ExitStack()
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def run(self) -> int:
        """Start, take the steps, wait for the end, stop; return the exit status."""
        with signals.interrupting():
            try:
                with self:
                    core = self.start_core()
                    for step in self._steps:
                        if (status := step(self, core)) is not None:
                            return status
                    self.wait()
            except TROUBLE as exc:
                self._say(f"sprout: {exc}")
                return 1
            except KeyboardInterrupt:
                return 128 + signal.SIGINT
        return 0

    def start_core(self) -> Core:
        """Start database and broker side by side, then migrations, then edge and control.

        Raises:
            AlreadyRunning: another `sprout up` holds the data folder.
            DidNotStart, NotReady: a process; its last lines are in the message.
            NoPostgres, NotMade, LostPassword, NoFreePort: as they say.
        """
        folder = self._held.enter_context(Folder(self._settings.data_dir).held())
        for name in sweep.sweep(folder.roster, folder.path):
            self._say(f"ended {name}, left over from a start that was killed")
        self._supervisor = self._held.enter_context(Supervisor(folder, self._say))
        broker = self._broker(folder)
        database = self._database(folder)
        self._say(f"database: {database.title}")
        self._say(f"broker: {broker.title}")
        core = self._core(folder, database, broker)
        self.start(*self._own(core, database, broker))
        self._supervisor.wait_ready(timeout_s=START_S)
        return core

    def start(self, *processes: Process) -> None:
        """Put *processes* under the supervisor; each starts when what it needs is ready."""
        self._running().start(*processes)

    def process(
        self,
        name: str,
        core: Core,
        *arguments: str,
        ready: Ready = Started(),  # noqa: B008 - a frozen value
        needs: tuple[str, ...] = (),
        env: Mapping[str, str] = MappingProxyType({}),
        stop_s: float = 10.0,
    ) -> Process:
        """Return one of our own processes, by its name in MODULES, ready to be started."""
        return Process(
            name=name,
            argv=(sys.executable, "-m", *self._modules[name], *arguments),
            env={**core.env, **env},
            needs=needs,
            ready=ready,
            stop_s=stop_s,
        )

    def wait_ready(self, *names: str, timeout_s: float) -> None:
        """Return when *names* have come up; raise DidNotStart or NotReady otherwise."""
        self._running().wait_ready(*names, timeout_s=timeout_s)

    def wait(self, stop: threading.Event | None = None) -> None:
        """Return when *stop* is set or a signal asks to end; children are kept up meanwhile."""
        try:
            (stop or threading.Event()).wait()
        except KeyboardInterrupt:
            self._say("stopping")

    def stop(self) -> None:
        """End all processes, last started first, and let go of the data folder."""
        with signals.ignored():
            self._held.close()
        self._supervisor = None

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("start_core comes first")
        return self._supervisor

    def _broker(self, folder: Folder) -> Service:
        asked = self._settings.broker.get_secret_value()
        if asked == "postgres":
            return Service((), "postgres", "the embedded queue in PostgreSQL, as asked")
        if asked:
            return Service((), asked, f"RabbitMQ at {_place(asked)}")
        if (programs := rabbitmq.installed()) is None:
            why = "rabbitmq-server is not installed"
            return Service((), "postgres", f"the embedded queue in PostgreSQL ({why})")
        service = rabbitmq.prepare(folder, programs)
        self.start(*service.processes)
        return service

    def _database(self, folder: Folder) -> Service:
        if asked := self._settings.database_url.get_secret_value():
            return Service((), asked, f"PostgreSQL at {_place(asked)}")
        service = postgres.prepare(folder)
        self.start(*service.processes)
        return service

    def _core(self, folder: Folder, database: Service, broker: Service) -> Core:
        settings = self._settings
        # With a hash of the operator's own there is another admin's token, which we do not know.
        ours = not settings.admin_token_hash
        token = folder.secret("admin_token") if ours else settings.api_token.get_secret_value()
        token_hash = _sha256(token) if ours else settings.admin_token_hash
        session_key = settings.session_key.get_secret_value() or folder.secret("session_key")
        given = {
            "SPROUT_DATA_DIR": str(settings.data_dir),
            "SPROUT_DATABASE_URL": database.url,
            "SPROUT_BROKER": broker.url,
            "SPROUT_ADMIN_TOKEN_HASH": token_hash,
            "SPROUT_SESSION_KEY": session_key,
        }
        return Core(
            env={**_inherited(), **given},
            api_url=settings.api_url,
            admin_token=token,
            database_url=database.url,
            broker_url=broker.url,
            broker=broker.title,
        )

    def _own(self, core: Core, database: Service, broker: Service) -> tuple[Process, ...]:
        after_database, after_broker = database.waited_for, broker.waited_for
        edge_up = Answering(f"http://{_local(self._settings.bind)}/readyz")
        return (
            self.process("migrations", core, needs=after_database, ready=Finished()),
            # The edge promises through the database alone: it does not wait for the broker.
            self.process("edge", core, needs=(*after_database, "migrations"), ready=edge_up),
            self.process("control", core, needs=(*after_database, *after_broker, "migrations")),
        )


def _inherited() -> dict[str, str]:
    """Return our environment, changed so that the modules are ours whatever folder we are in."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    ours = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, "MALLOC_ARENA_MAX": "2"}
    return {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"} | ours


def _place(url: str) -> str:
    """Return host and port of *url*: its user and password are not for a terminal."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _local(bind: str) -> str:
    """Return where we reach what listens on *bind*."""
    host, _, port = bind.rpartition(":")
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared only


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
