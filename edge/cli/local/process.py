"""What the supervisor is told of a process: values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals


@dataclass(frozen=True, slots=True)
class Started:
    """Ready as soon as it runs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Runs once: ready when it has ended with 0, failed when it has ended otherwise."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Ready when *text* stands in what it wrote since it was started."""

    text: str


@dataclass(frozen=True, slots=True)
class Listening:
    """Ready when *port* of loopback accepts a connection."""

    port: int


@dataclass(frozen=True, slots=True)
class Answering:
    """Ready when a GET of *url* is answered below 500: the application is there, not its socket."""

    url: str


Ready = Started | Finished | LogLine | Listening | Answering


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One row of the process table.

    Attributes:
        name: unique; names its log file too.
        argv: program and arguments.
        env: the whole environment; it may hold secrets, so it has no repr.
        needs: names of processes that must be ready before, and are stopped after, this one.
        ready: how one learns that it is up.
        cwd: working directory; None: the supervisor's.
        stop_signal: asks it to end in order, also when the supervisor dies first.
        stop_s: seconds from that signal to SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    needs: tuple[str, ...] = ()
    ready: Ready = Started()
    cwd: Path | None = None
    stop_signal: Signals = SIGTERM
    stop_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Service:
    """A server: the processes that we bring along for it, in order, and how to reach it.

    *for_sites* is the URL that sites are given, where theirs is another account.
    """

    processes: tuple[Process, ...]
    url: str = field(repr=False)
    title: str
    for_sites: str = field(default="", repr=False)

    @property
    def waited_for(self) -> tuple[str, ...]:
        """Names that users of it need: its last process; none, when it runs elsewhere."""
        return tuple(process.name for process in self.processes[-1:])
