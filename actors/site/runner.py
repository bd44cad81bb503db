"""Runs accepted tasks: a few at a time, one after another at the same BMC.

Rule 1: the intent lies on the disk before a side effect, the outcome before it is forgotten.
Rule 2: an intent without an outcome is repeated only where that leads to the same.
Rule 3: a task ends before control stops waiting for it, so that its reason is heard.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import structlog

from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError
from actors.site.orders import Order
from actors.site.store import Accepted, AgentStore, State
from actors.site.tasks import JOBS, Restart, Tell
from models.observations import Observation, Seen, Source
from pxe_stack.store import JournalStore

THREADS: Final = 4
SHARE: Final = 0.9
"""The part of a step's deadline that its task may use."""

log = structlog.get_logger()


class Work(Protocol):
    """What does a task: the bench, or a test's stand-in."""

    def perform(self, order: Order, deadline: Deadline, tell: Tell) -> dict[str, Any]: ...

    def read_back(self, order: Order, deadline: Deadline, tell: Tell) -> dict[str, Any]: ...


class Runner:
    """Accepts tasks and reports each one's end to the journal."""

    def __init__(self, store: AgentStore, journal: JournalStore, work: Work) -> None:
        self._store = store
        self._journal = journal
        self._work = work
        self._lanes = Lanes(THREADS)

    def accept(self, body: Mapping[str, Any]) -> None:
        """Keep a task and have it run; one that is known already does nothing.  Raises Invalid."""
        order = Order.parse(body)
        if not self._store.accept(order.task, order.epoch, dict(body)):
            log.info("task.known", task=str(order.task), epoch=order.epoch)
            return
        self._line_up(order, Accepted(dict(body), State.ACCEPTED, time.time()))

    def resume(self) -> None:
        """Line up what a former life of this agent accepted and did not end."""
        for accepted in self._store.unfinished():
            self._line_up(Order.parse(accepted.body), accepted)

    def close(self) -> None:
        """Let what runs end, and start nothing more."""
        self._lanes.close()

    def _line_up(self, order: Order, accepted: Accepted) -> None:
        self._lanes.put(order.bmc.address, lambda: self._run(order, accepted))

    def _run(self, order: Order, accepted: Accepted) -> None:
        with structlog.contextvars.bound_contextvars(
            task=str(order.task), kind=order.kind.value, machine=str(order.machine)
        ):
            try:
                kind, data = self._outcome(order, accepted)
            except Exception as exc:
                log.exception("task.broke")
                kind = Seen.TASK_FAILED
                data = {"reason": f"a fault in Sprout: {type(exc).__name__}", "retryable": False}
            self._tell(order, kind, data)
            self._store.move(order.task, order.epoch, State.ENDED)
            log.info("task.ended", outcome=kind.value)

    def _outcome(self, order: Order, accepted: Accepted) -> tuple[Seen, dict[str, Any]]:
        seconds = order.deadline_s * SHARE - max(0.0, time.time() - accepted.at)
        deadline = Deadline.after(seconds)
        try:
            if accepted.state is State.STARTED and JOBS[order.kind].restart is Restart.UNKNOWN:
                return self._unknown(order, deadline)
            if seconds <= 0:
                return _failed("its time was over before its turn came", retryable=True)
            self._store.move(order.task, order.epoch, State.STARTED)
            self._tell(order, Seen.TASK_STARTED, {})
            result = self._work.perform(order, deadline, self._teller(order))
        except DriverError as exc:
            return _failed(str(exc), retryable=exc.retryable)
        return Seen.TASK_DONE, {"result": result}

    def _unknown(self, order: Order, deadline: Deadline) -> tuple[Seen, dict[str, Any]]:
        result = self._work.read_back(order, deadline, self._teller(order))
        kind, data = _failed(
            "the agent was restarted in the middle of it: the outcome is unknown", retryable=True
        )
        return kind, data | {"unknown": True, "result": result}

    def _teller(self, order: Order) -> Tell:
        def tell(at: float, data: Mapping[str, Any]) -> None:
            self._append(order, Seen.BMC_CALL, Source.BMC, at, data)

        return tell

    def _tell(self, order: Order, kind: Seen, data: Mapping[str, Any]) -> None:
        self._append(order, kind, Source.AGENT, time.time(), data)

    def _append(
        self, order: Order, kind: Seen, source: Source, at: float, data: Mapping[str, Any]
    ) -> None:
        ids = {"task": str(order.task), "epoch": order.epoch, "kind": order.kind.value}
        self._journal.append(
            Observation(
                kind=kind,
                source=source,
                at=at,
                machine=order.machine,
                run=order.run,
                data={**ids, **data},
            )
        )


class Lanes:
    """Work in lanes: *threads* run at once, and never two of one lane."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def put(self, lane: str, work: Callable[[], None]) -> None:
        """Have *work* done after all that is in *lane*."""
        with self._lock:
            queue = self._waiting.get(lane)
            if queue is not None:
                queue.append(work)
                return
            self._waiting[lane] = deque([work])
        self._pool.submit(self._next, lane)

    def close(self) -> None:
        """Wait for what runs; drop what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self, lane: str) -> None:
        work = self._waiting[lane][0]
        try:
            work()
        except Exception:
            log.exception("task.lost", lane=lane)
        with self._lock:
            queue = self._waiting[lane]
            queue.popleft()
            if not queue:
                del self._waiting[lane]
                return
        try:
            self._pool.submit(self._next, lane)
        except RuntimeError:
            log.info("task.left", lane=lane)  # closing: the next life resumes it


def _failed(reason: str, *, retryable: bool) -> tuple[Seen, dict[str, Any]]:
    return Seen.TASK_FAILED, {"reason": reason, "retryable": retryable}
