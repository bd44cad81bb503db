"""The life of one process: waits for what it needs, is started, watched, started again, ended."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.cli.local import sweep
from edge.cli.local.process import Finished, Process
from edge.cli.local.readiness import readable, until

PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next start, by how often it has died in a row; the last one stays."""

STEADY_S: Final = 30.0
"""Who has lived this many seconds begins anew in PAUSES_S."""

GIVE_UP_AFTER: Final = 4
"""Deaths in a row after which a process that never came up is given up."""

SHOWN_FROM: Final = 3
"""Deaths in a row from which its last lines are shown."""

_LOG_BYTES: Final = 5_000_000
_TAIL_BYTES: Final = 4096
_TAIL_LINES: Final = 12

Say = Callable[[str], None]


class DidNotStart(Exception):
    """A process never came up; carries what it said last."""

    def __init__(self, name: str, why: str, last: Sequence[str]) -> None:
        super().__init__("\n".join((f"{name} did not start: {why}", *_quoted(last))))
        self.name = name


class Child:
    """One process of the table; lives in the supervisor's event loop, and only there."""

    def __init__(
        self,
        process: Process,
        needs: Sequence["Child"],
        *,
        log: Path,
        on_change: Callable[[], None],
        say: Say,
    ) -> None:
        self.process = process
        self.needs = needs
        self.entry: sweep.Entry | None = None
        self._log = log
        self._offset = 0
        self._on_change = on_change
        self._say = say
        self._stopping = False
        self._settled = asyncio.Event()
        self._failure: DidNotStart | None = None
        self._task = asyncio.create_task(self._live())

    async def came_up(self) -> None:
        """Return when it has been ready once.

        Raises:
            DidNotStart: it, or what it needs, was given up.
        """
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def is_up(self) -> bool:
        """Whether it has been ready once."""
        return self._settled.is_set() and self._failure is None

    async def stop(self) -> None:
        """End it in order, or by SIGKILL when its time is over."""
        self._stopping = True
        if self.entry is None:
            self._task.cancel()
        else:
            self._send(self.process.stop_signal)
            await asyncio.wait({self._task}, timeout=self.process.stop_s)
            self._send(signal.SIGKILL)
        await asyncio.wait({self._task})

    async def _live(self) -> None:
        try:
            for need in self.needs:
                await need.came_up()
            await self._keep_running()
        except DidNotStart as exc:
            self._failure = exc
        except Exception as exc:  # noqa: BLE001 - whoever waits for it must hear of any fault
            self._failure = DidNotStart(self.process.name, repr(exc), ())
        finally:
            if self._failure is not None:
                self._settled.set()

    async def _keep_running(self) -> None:
        deaths, loop = 0, asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._run_once()
            if self._stopping or (self._runs_once and status == 0):
                self._settled.set()
                return
            deaths = 1 if loop.time() - began > STEADY_S else deaths + 1
            if self._runs_once or (deaths >= GIVE_UP_AFTER and not self.is_up):
                raise DidNotStart(self.process.name, _how(status), self._last_lines())
            pause_s = PAUSES_S[min(deaths, len(PAUSES_S)) - 1]
            self._tell(deaths, status, pause_s)
            await asyncio.sleep(pause_s)

    @property
    def _runs_once(self) -> bool:
        return isinstance(self.process.ready, Finished)

    async def _run_once(self) -> int:
        running = self._spawn()
        handle = os.pidfd_open(running.pid)
        ended = asyncio.create_task(readable(handle))
        ready = asyncio.create_task(until(self.process.ready, self._log, self._offset))
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                ready.result()
                self._settled.set()
            await ended
        finally:
            ready.cancel()
            os.close(handle)
            # Not reaped yet, so its group cannot be another's: what it leaves there ends too.
            self._send(signal.SIGKILL)
            status = running.wait()
            self.entry = None
            self._on_change()
        return status

    def _spawn(self) -> subprocess.Popen[bytes]:
        _rotate(self._log)
        dying_with_us = self.process.stop_signal.name.removeprefix("SIG")
        with self._log.open("ab") as log:
            self._offset = log.tell()
            running = subprocess.Popen(
                ("setpriv", "--pdeathsig", dying_with_us, "--", *self.process.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.process.env,
                cwd=self.process.cwd,
                start_new_session=True,  # Ctrl-C is for us: the order of stopping is ours
            )
        started = sweep.start_time(running.pid) or 0
        stop_signal = int(self.process.stop_signal)
        self.entry = sweep.Entry(self.process.name, running.pid, started, stop_signal)
        self._on_change()
        return running

    def _send(self, number: int) -> None:
        """Signal the process, or with SIGKILL its whole group."""
        if self.entry is None:
            return
        send = os.killpg if number == signal.SIGKILL else os.kill
        with suppress(ProcessLookupError):
            send(self.entry.pid, number)

    def _tell(self, deaths: int, status: int, pause_s: float) -> None:
        name = self.process.name
        self._say(f"{name} ended ({_how(status)}); it is started again in {pause_s:g} s")
        if deaths >= SHOWN_FROM:
            for line in _quoted(self._last_lines()):
                self._say(line)

    def _last_lines(self) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(max(self._offset, self._log.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]


def _quoted(lines: Sequence[str]) -> list[str]:
    return [f"  | {line}" for line in lines]


def _how(status: int) -> str:
    return f"exit {status}" if status >= 0 else signal.Signals(-status).name


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
