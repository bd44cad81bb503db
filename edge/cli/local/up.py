"""`sprout up`: database, broker, edge and control on one machine, and what comes after them.

    with Up(settings) as up:
        core = up.start_core()              # all of it is ready, or an exception says what is not
        up.start(Process(...))              # site, rack, ...: under the same supervisor
        up.wait()                           # until Ctrl-C or SIGTERM

or `Up(settings, steps).run()`, which does the same with each step in turn, and returns the exit
status.  Whatever happens, leaving the block ends every process.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Final, Self

from config.settings import Settings
from edge.cli.local import postgres, quarters, servers, signals, sweep
from edge.cli.local.child import DidNotStart, Say
from edge.cli.local.core import Core, describe, reached_at
from edge.cli.local.folder import AlreadyRunning, Folder, NoFreePort, is_free
from edge.cli.local.process import Answering, Finished, Process, Ready, Service, Started
from edge.cli.local.supervisor import NotReady, Supervisor

START_S: Final = 120.0
"""Seconds that everything may take to come up: a first start on a slow machine."""

MODULES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "migrations": ("models.migrations",),
        "edge": ("edge.serve",),
        "agents": ("edge.agents",),
        "events": ("edge.live",),
        "control": ("actors.control",),
        "site": ("actors.site",),
        "rack": ("deploy.rack",),
    }
)
"""Arguments of `python -m` by the name of the process."""


NOT_FOR_SITES: Final = frozenset(
    {
        "SPROUT_ADMIN_TOKEN_HASH",
        "SPROUT_BROKER",
        "SPROUT_DATABASE_URL",
        "SPROUT_PROXMOX_ROOT_PASSWORD_HASH",
        "SPROUT_SESSION_KEY",
        "SPROUT_SITE_BROKER",
    }
)
"""What a site's processes never see: their enrolment says all that they may know."""


class Taken(Exception):
    """Another program listens where the edge is to listen."""

    def __init__(self, bind: str) -> None:
        super().__init__(f"{bind} is taken by another program: SPROUT_BIND chooses another address")


TROUBLE: Final = (
    Taken,
    AlreadyRunning,
    NoFreePort,
    DidNotStart,
    NotReady,
    quarters.NoUser,
    postgres.NoPostgres,
    postgres.NotMade,
    postgres.LostPassword,
)
"""What an operator can mend: shown as a sentence, without a trace."""

_SAY: Final = partial(print, flush=True)  # events must not wait in the buffer of a pipe

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
            Taken: the edge's address is in use.
            DidNotStart, NotReady: a process; its last lines are in the message.
            NoPostgres, NotMade, LostPassword, NoFreePort: as they say.
        """
        folder = self._held.enter_context(Folder(self._settings.data_dir).held())
        for name in sweep.sweep(folder.roster, folder.path):
            self._say(f"ended {name}, left over from a start that was killed")
        # Asked before: whoever listens there would pass for our edge.
        host, _, port = self._settings.bind.rpartition(":")
        if not is_free(host.strip("[]"), int(port)):
            raise Taken(self._settings.bind)
        self._supervisor = self._held.enter_context(Supervisor(folder, self._say))
        broker = servers.broker(self._settings, folder)
        self.start(*broker.processes)
        database = servers.database(self._settings, folder)
        self.start(*database.processes)
        self._say(f"database: {database.title}")
        self._say(f"broker: {broker.title}")
        core = describe(self._settings, folder, database, broker)
        self.start(*self._own(core, database, broker))
        self._supervisor.wait_ready(timeout_s=START_S)
        return core

    def start(self, *processes: Process) -> None:
        """Put *processes* under the supervisor; each starts when what it needs is ready."""
        self._supervised().start(*processes)

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
        kept = {n: v for n, v in core.env.items() if name != "site" or n not in NOT_FOR_SITES}
        return Process(
            name=name,
            argv=(sys.executable, "-m", *self._modules[name], *arguments),
            env={**kept, **env},
            needs=needs,
            ready=ready,
            stop_s=stop_s,
        )

    def wait_ready(self, *names: str, timeout_s: float) -> None:
        """Return when *names* have come up; raise DidNotStart or NotReady otherwise."""
        self._supervised().wait_ready(*names, timeout_s=timeout_s)

    def running(self) -> Mapping[str, int]:
        """Return the process id of each child that runs now, by name."""
        return self._supervised().running()

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

    def _supervised(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("start_core comes first")
        return self._supervisor

    def _own(self, core: Core, database: Service, broker: Service) -> tuple[Process, ...]:
        after_database, after_broker = database.waited_for, broker.waited_for
        edge_up = Answering(f"http://{reached_at(self._settings.bind)}/readyz")
        agents = self.process("agents", core, needs=(*after_database, "migrations"))
        return (
            self.process("migrations", core, needs=after_database, ready=Finished()),
            # The edge promises through the database alone: it does not wait for the broker.
            self.process("edge", core, needs=(*after_database, "migrations"), ready=edge_up),
            self.process("events", core, needs=(*after_database, "migrations")),
            *((agents,) if self._settings.tls_enabled else ()),
            self.process("control", core, needs=(*after_database, *after_broker, "migrations")),
        )
