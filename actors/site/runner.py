"""Runs accepted tasks: a few at a time, one after another at the same BMC.

Rule 1: the intent lies on the disk before a side effect, the outcome before it is forgotten.
Rule 2: an intent without an outcome is read back and told of, never repeated under its epoch.
Rule 3: nothing begins, and nothing is written to a BMC, without a lease.
Rule 4: a task ends before control stops waiting for it, so that its reason is heard.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError, LeaseLost
from actors.site import findings
from actors.site.lanes import Lanes
from actors.site.leases import Gone, Leases
from actors.site.orders import Order
from actors.site.store import Accepted, AgentStore, State, Verdict
from actors.site.tasks import Restart, Tell, restart_of
from actors.site.warrant import Progress, Warrant
from models.observations import Observation, Seen, Source
from models.steps import Task
from pxe_stack.store import JournalStore

THREADS: Final = 32
"""Tasks that run at once; each waits for a BMC most of its time."""

SYSTEM_THREADS: Final = 16
"""Commands on machines that run at once: they may take minutes, and no BMC is to wait for them."""

FORGET_S: Final = 3600.0
"""How often it is looked for tasks that ended long ago."""

SHARE: Final = 0.9
"""The part of a step's deadline that its task may use."""

READ_BACK_S: Final = 30.0
"""Seconds that reading back may take, however little of the deadline is left."""

WRITE_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between tries to write a task's end down: a full disk may have room again."""

Ended = tuple[Seen, dict[str, Any]]
"""How a task ended, in the words of its observation."""

log = structlog.get_logger()


class Work(Protocol):
    """What does a task: the bench, or a test's stand-in."""

    def perform(
        self, order: Order, deadline: Deadline, tell: Tell, warrant: Warrant
    ) -> dict[str, Any]: ...

    def read_back(self, order: Order, deadline: Deadline, tell: Tell) -> dict[str, Any]: ...


class Keep(Protocol):
    """Where evidence goes: returns how a report refers to it."""

    def __call__(self, order: Order, name: str, content: bytes) -> dict[str, Any]: ...


class Runner:
    """Accepts tasks, runs them under their leases, and reports each one's end to the journal."""

    def __init__(
        self,
        store: AgentStore,
        journal: JournalStore,
        work: Work,
        leases: Leases,
        *,
        keep: Keep,
    ) -> None:
        self._store = store
        self._journal = journal
        self._work = work
        self._leases = leases
        self._keep = keep
        self._lanes = {False: Lanes(THREADS), True: Lanes(SYSTEM_THREADS)}
        self._forgot_at = float("-inf")
        self._closing = threading.Event()

    def accept(self, body: Mapping[str, Any]) -> None:
        """Keep a task and have it run; one that is known already does nothing.  Raises Invalid."""
        if body.get("kind") not in set(Task):
            self._decline(body)
            return
        order = Order.parse(body)
        self._forget()
        verdict = self._store.accept(order.task, order.machine, order.epoch, dict(body))
        log.info("task.taken", task=str(order.task), epoch=order.epoch, verdict=verdict.value)
        if verdict is Verdict.ACCEPTED:
            for task, epoch in self._store.overtaken(order.machine, order.epoch):
                self.cancel(task, epoch)
            self._line_up(order, Accepted(dict(body), State.ACCEPTED, time.time()))
        elif verdict is Verdict.SUPERSEDED:
            reason = "superseded: a later task of this machine was here before"
            kind, data = _gone(reason, Gone.CANCELLED)
            self._tell(order, kind, data | {"fence": self._store.fence(order.machine)})

    def cancel(self, task: UUID, epoch: int) -> None:
        """Have a task do nothing more; one that is not here needs nothing."""
        known = self._leases.cancel(task, epoch)
        log.info("task.cancelled", task=str(task), epoch=epoch, known=known)

    def resume(self) -> None:
        """Line up what a former life of this agent accepted and did not end."""
        self._forget()
        for accepted in self._store.unfinished():
            order = Order.parse(accepted.body)
            if _outcome_is_unknown(order, accepted):
                self._put(order, partial(self._run, order, accepted))
            else:
                self._line_up(order, accepted)

    def close(self) -> None:
        """Let what runs end, and start nothing more."""
        self._closing.set()
        for lanes in self._lanes.values():
            lanes.close()

    def _forget(self) -> None:
        if time.monotonic() - self._forgot_at > FORGET_S:
            self._forgot_at = time.monotonic()
            self._store.forget()

    def _decline(self, body: Mapping[str, Any]) -> None:
        """Say that this agent is too old for the task.  Raises Invalid for what is no task."""
        order = Order.parse({**body, "kind": Task.INVENTORY.value})
        kind = str(body.get("kind"))[:64]
        data = {"kind": kind, "reason": f"this agent does not know {kind}", "retryable": False}
        self._tell(order, Seen.TASK_FAILED, data)

    def _line_up(self, order: Order, accepted: Accepted) -> None:
        def ready() -> None:
            self._put(order, lambda: self._run(order, accepted))

        self._leases.hold(order.task, order.epoch, ready)

    def _put(self, order: Order, work: Callable[[], None]) -> None:
        self._lanes[order.at_system].put(order.lane, work)

    def _run(self, order: Order, accepted: Accepted) -> None:
        with structlog.contextvars.bound_contextvars(
            task=str(order.task), kind=order.kind.value, machine=str(order.machine)
        ):
            ended = self._ended(order, accepted)
            if ended is None:
                self._line_up(order, accepted)  # the lease ran out while it waited for its turn
                return
            try:
                self._conclude(order, *ended)
            finally:  # an end that was not told lapses at control, which has the BMC read
                self._leases.drop(order.task, order.epoch)

    def _conclude(self, order: Order, kind: Seen, data: Mapping[str, Any]) -> None:
        """Tell of a task's end, held until it lies on the disk or all patience is over."""
        self._written(lambda: self._tell(order, kind, data))
        self._written(lambda: self._store.move(order.task, order.epoch, State.ENDED))
        log.info("task.ended", outcome=kind.value)

    def _written(self, write: Callable[[], None]) -> None:
        """Call *write* until the disk takes it.  Raises sqlite3.Error when it never does."""
        for pause in WRITE_PAUSES_S:
            try:
                return write()
            except sqlite3.Error as exc:
                log.warning("task.unwritten", why=str(exc), again_s=pause)
            self._closing.wait(pause)
        return write()

    def _ended(self, order: Order, accepted: Accepted) -> Ended | None:
        """Do what can be done; None for a task that must wait for its lease again."""
        seconds = order.deadline_s * SHARE - max(0.0, time.time() - accepted.at)
        try:
            if _outcome_is_unknown(order, accepted):
                return self._unknown(order, Deadline.after(max(seconds, READ_BACK_S)))
            return self._begun(order, seconds)
        except LeaseLost as exc:
            kind, data = _gone(str(exc), self._leases.gone(order.task, order.epoch) or Gone.LOST)
            return kind, data | self._found(order, exc)
        except DriverError as exc:
            kind, data = _failed(str(exc), retryable=exc.retryable)
            return kind, data | self._found(order, exc)
        except sqlite3.Error as exc:  # nothing is done that cannot be written down first
            return _failed(f"the agent's store cannot be written: {exc}", retryable=True)
        except Exception as exc:
            log.exception("task.broke")
            return _failed(f"a fault in Sprout: {type(exc).__name__}", retryable=False)

    def _begun(self, order: Order, seconds: float) -> Ended | None:
        if (why := self._leases.gone(order.task, order.epoch)) is not None:
            return _gone(f"the task was {why.value} before it began", why)
        if seconds <= 0:
            return _failed("its time was over before its turn came", retryable=True)
        if not self._leases.valid(order.task, order.epoch):
            return None
        return self._performed(order, Deadline.after(seconds))

    def _performed(self, order: Order, deadline: Deadline) -> Ended:
        self._store.move(order.task, order.epoch, State.STARTED)
        self._tell(order, Seen.TASK_STARTED, {})
        progress = Progress(partial(self._tell, order, Seen.TASK_PROGRESS))
        warrant = Warrant(self._leases, self._store, order.task, order.epoch, progress)
        result = self._work.perform(order, deadline, self._teller(order), warrant)
        return Seen.TASK_DONE, self._reported(order, result)

    def _found(self, order: Order, exc: DriverError) -> dict[str, Any]:
        """Return what of a task that failed is there all the same."""
        try:
            return {} if exc.result is None else self._reported(order, exc.result)
        except sqlite3.Error as lost:
            log.warning("task.result-lost", why=str(lost))
            return {}

    def _reported(self, order: Order, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a message says of *result*, with all that it does not hold kept apart."""
        small, apart = findings.divided(order.kind.value, result)
        kept = [self._keep(order, name, content) for name, content in apart.items()]
        return {"result": small} | ({"evidence": kept} if kept else {})

    def _unknown(self, order: Order, deadline: Deadline) -> Ended:
        kind, data = _failed(
            "the agent was restarted in the middle of it: the outcome is unknown", retryable=True
        )
        try:
            result = self._work.read_back(order, deadline, self._teller(order))
        except DriverError as exc:
            return kind, data | {"unknown": True, "read_back": str(exc)}
        return kind, data | {"unknown": True, "result": result}

    def _teller(self, order: Order) -> Tell:
        def tell(at: float, data: Mapping[str, Any]) -> None:
            self._append(order, *_TOLD[order.at_system], at, data)

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


_TOLD: Final = {False: (Seen.BMC_CALL, Source.BMC), True: (Seen.TASK_OUTPUT, Source.AGENT)}
"""As what it is kept that a task tells of itself: by whether it is for a machine's system."""


def _outcome_is_unknown(order: Order, accepted: Accepted) -> bool:
    return accepted.state is State.STARTED and restart_of(order.kind) is Restart.UNKNOWN


def _gone(reason: str, why: Gone) -> Ended:
    return Seen.TASK_FAILED, {"reason": reason, "retryable": True, why.value: True}


def _failed(reason: str, *, retryable: bool) -> Ended:
    return Seen.TASK_FAILED, {"reason": reason, "retryable": retryable}
