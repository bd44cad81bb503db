"""Runs the process table: starts by need, restarts what dies, ends all in reverse order.

The event loop has its own thread, so that whoever calls may wait, ask the API, or be interrupted
while the children are watched.  That thread starts them and outlives them: their death signal
(PR_SET_PDEATHSIG) is bound to the thread that made them, not to the process.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from edge.cli.local import sweep
from edge.cli.local.child import Child, Say
from edge.cli.local.folder import Folder
from edge.cli.local.process import Process

_T = TypeVar("_T")


class NotReady(Exception):
    """Some processes live, and are not up in time."""


class Supervisor:
    """The parent of all that `sprout up` starts; as a context manager it leaves nothing behind."""

    def __init__(self, folder: Folder, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._children: dict[str, Child] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="supervisor", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *processes: Process) -> None:
        """Add *processes* to the table; each starts when what it needs is ready.

        Raises:
            KeyError: a process needs one that is neither in the table nor before it.
        """
        self._ask(self._add(processes))

    def wait_ready(self, *names: str, timeout_s: float) -> None:
        """Return when all of *names* have come up.

        Raises:
            DidNotStart: one was given up; its last lines are in the message.
            NotReady: the time is over; the message says for whom one waits.
        """
        self._ask(self._all_up(names or tuple(self._children), timeout_s))

    def running(self) -> Mapping[str, int]:
        """Return the process id of each child that runs now."""
        return {entry.name: entry.pid for entry in self._entries()}

    def stop(self) -> None:
        """End all children, those who need before those who are needed; then the thread."""
        if not self._thread.is_alive():
            return
        self._ask(self._stop_all())
        # Grandchildren that left their group, such as a server's own daemons.
        sweep.sweep(self._folder.roster, self._folder.path)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()

    async def _add(self, processes: tuple[Process, ...]) -> None:
        for process in processes:
            self._children[process.name] = Child(
                self._marked(process),
                [self._children[name] for name in process.needs],
                log=self._folder.logs / f"{process.name}.log",
                on_change=self._record,
                say=self._say,
            )

    def _marked(self, process: Process) -> Process:
        return replace(process, env={**process.env, sweep.MARK: os.fspath(self._folder.path)})

    def _record(self) -> None:
        sweep.record(self._folder.roster, self._entries())

    def _entries(self) -> list[sweep.Entry]:
        return [child.entry for child in list(self._children.values()) if child.entry is not None]

    async def _all_up(self, names: tuple[str, ...], timeout_s: float) -> None:
        waits = asyncio.gather(*(self._children[name].came_up() for name in names))
        try:
            await asyncio.wait_for(waits, timeout_s)
        except TimeoutError:
            late = ", ".join(name for name in names if not self._children[name].is_up)
            where = self._folder.logs
            raise NotReady(f"not up after {timeout_s:g} s: {late}; see {where}") from None

    async def _stop_all(self) -> None:
        stops: dict[str, asyncio.Task[None]] = {}

        async def stop(child: Child) -> None:
            users = [name for name, other in self._children.items() if child in other.needs]
            await asyncio.gather(*(stops[name] for name in users))
            await child.stop()

        # Users come later in the table than what they need.
        for name, child in reversed(self._children.items()):
            stops[name] = asyncio.create_task(stop(child))
        await asyncio.gather(*stops.values())
