"""The runner of errands: I/O of control's own, outside of any transaction, and killed at any time.

How to use it is said in `models.errands`.  A doer gets a `Job` and the `Means` of this process and
returns what it found, as plain JSON.  It raises DriverError (`retryable` or not), SecretError or
DomainError; whatever else it raises counts as a fault that may pass.  It asks `job.check()` before
each thing that it does to the outside, and bounds each wait by `job.deadline`.

The message is a hint, the row is the truth: where all places are taken it waits in the database
until some process has one, and what a dead process held is taken again when its lease is over.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import dramatiq
import structlog

from actors.control import integrations, isos, networks, provisions
from actors.control.actors import patiently
from actors.control.errand import Doer, Job, Means
from actors.control.rendering import documents
from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError, LeaseLost
from config import secrets
from config.secrets import Secret, SecretError
from models.commands import errands, outcomes, run_keys, watching
from models.database import LOST, Unavailable, borrowed
from models.errands import LEASE_S, Ended, Errand, rest_s
from models.errors import DomainError
from models.messages import ACTORS, Actor

PLACES: Final = 8
"""Errands that one process runs at once; they mostly wait."""

LOOK_S: Final = 1.0
RENEW_S: Final = LEASE_S / 3
GRACE_S: Final = 2.0
REST_S: Final = 10
"""Seconds before an errand that could not be ended is looked at again; doubled each time."""

log = structlog.get_logger()


def _key_of(run: UUID) -> Secret | None:
    with borrowed():
        return run_keys.private(run)


# SSH is an eighth of this process's memory: whoever has no hosts does not pay for it.
def _join(job: Job, means: Means) -> Mapping[str, Any]:
    from actors.control import joins  # noqa: PLC0415 - its library takes memory

    return joins.joiner(_key_of)(job, means)


def _register(job: Job, means: Means) -> Mapping[str, Any]:
    from actors.control import joins  # noqa: PLC0415 - as above

    return joins.register(job, means)


def _remove_key(job: Job, means: Means) -> Mapping[str, Any]:
    from actors.control import joins  # noqa: PLC0415 - as above

    return joins.leaver(_key_of)(job, means)


DOERS: Final[Mapping[Errand, Doer]] = MappingProxyType(
    {
        Errand.INTEGRATION_RUN: integrations.run,
        Errand.NETWORK_SYNC: networks.sync,
        Errand.IMAGE_PREPARE: isos.prepare,
        Errand.CLUSTER_JOIN: _join,
        Errand.INFRASTRUCTURE_REGISTER: _register,
        Errand.RUN_KEY_REMOVE: _remove_key,
        **provisions.DOERS,
    }
)
"""What this version can do; errands of other names are left to a newer one."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What could not be ended, *times* times; it rests *until*, on the monotonic clock."""

    until: float
    times: int


class Runner:
    """Takes errands, at most *places* at once, and holds them while they are done."""

    def __init__(
        self, means: Means, doers: Mapping[Errand, Doer] = DOERS, *, places: int = PLACES
    ) -> None:
        self._means, self._doers, self._places = means, doers, places
        self._jobs: dict[threading.Thread, Job] = {}
        self._woken = threading.Event()
        self._renew_at = 0.0
        self._rests: dict[UUID, Rest] = {}

    def wake(self) -> None:
        """Look for errands now."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Run errands until *stop*; survives the database's restarts."""
        while not stop.is_set():
            try:
                with borrowed():
                    self._turn()
            except Unavailable as exc:
                log.warning("errands.paused", why=str(exc))
            except Exception:
                log.exception("errands.failed")
            self._woken.wait(LOOK_S)
            self._woken.clear()
        self._leave()

    def _turn(self) -> None:
        self._jobs = {thread: job for thread, job in self._jobs.items() if thread.is_alive()}
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + RENEW_S
            for job in self._jobs.values():
                _renew(job)
            _guarded(partial(watching.look, self._means.externals))
        self._expire()
        while self._doers and len(self._jobs) < self._places:
            sent = time.monotonic()
            held = errands.take(self._doers)
            if held is None:
                return
            self._begin(Job(held, Deadline.after(held.left_s), sent + LEASE_S))

    def _expire(self) -> None:
        """End what is out of time; one that cannot be ended rests, and the others go on."""
        clock = time.monotonic()
        resting = {errand: rest for errand, rest in self._rests.items() if rest.until > clock}
        failed = {}
        for errand in outcomes.overdue(but=resting):
            log.info("errand.overdue", errand=str(errand))
            if not _guarded(partial(outcomes.expire, errand, documents), errand=str(errand)):
                times = self._rests[errand].times + 1 if errand in self._rests else 1
                failed[errand] = Rest(clock + rest_s(REST_S, times), times)
        self._rests = resting | failed

    def _begin(self, job: Job) -> None:
        thread = threading.Thread(target=self._do, args=(job,), name="errand", daemon=True)
        self._jobs[thread] = job
        thread.start()

    def _do(self, job: Job) -> None:
        held = job.held
        ids = {"errand": str(held.id), "name": held.name.value, "request_id": held.request_id}
        with structlog.contextvars.bound_contextvars(**ids):
            log.info("errand.begun", fence=held.fence)
            ended = self._done(job)
            if ended is not None:
                _recorded(job, ended)
        self.wake()

    def _done(self, job: Job) -> Ended | None:
        """Do it; return how it ended, None when that is another's to say."""
        try:
            result = self._doers[job.held.name](job, self._means)
        except LeaseLost:
            log.warning("errand.lost")
            return None
        except DriverError as exc:
            return Ended(
                done=False,
                result=exc.result or {},
                reason=str(exc),
                retryable=exc.retryable,
                untouched=exc.untouched,
            )
        except SecretError as exc:
            may_pass = isinstance(exc, secrets.Unavailable)
            return Ended(done=False, reason=str(exc), retryable=may_pass)
        except DomainError as exc:
            return Ended(done=False, reason=str(exc))
        except Exception as exc:
            log.exception("errand.failed")
            why = f"a fault of control's own, {type(exc).__name__}: see its log"
            return Ended(done=False, reason=why, retryable=True)
        return Ended(done=True, result=result)

    def _leave(self) -> None:
        """Let go of what is not done within a moment: another process does it at once."""
        deadline = Deadline.after(GRACE_S)
        for thread, job in self._jobs.items():
            thread.join(deadline.left)
            if thread.is_alive():
                job.lost.set()
                _give_back(job)


def _guarded(do: Callable[[], object], **ids: str) -> bool:
    """Whether *do* went well; what it raises is told, and stops nothing else of the turn.

    Raises what says that the database is away.
    """
    try:
        do()
    except LOST:
        raise
    except Exception:
        log.exception("errands.failed", **ids)
        return False
    return True


def _recorded(job: Job, ended: Ended) -> None:
    """Record how it ended; what the database will not have is a fault that is recorded instead."""
    try:
        patiently(lambda: _settle(job, ended))
    except Exception as exc:
        log.exception("errand.unrecorded")
        why = f"what came of it cannot be recorded, {type(exc).__name__}: see the log of control"
        patiently(lambda: _settle(job, Ended(done=False, reason=why)))


def _settle(job: Job, ended: Ended) -> None:
    told = outcomes.settle(job.held, ended, documents)
    log.info("errand.ended", done=ended.done, recorded=told, why=ended.reason)


def _renew(job: Job) -> None:
    sent = time.monotonic()
    if errands.renew(job.held):
        job.until = sent + LEASE_S
    else:
        job.lost.set()


def _give_back(job: Job) -> None:
    try:
        with borrowed():
            errands.give_back(job.held)
    except Unavailable as exc:
        log.warning("errands.paused", why=str(exc))


_here: list[Runner] = []


@dramatiq.actor(
    actor_name=Actor.ERRAND.value,
    queue_name=ACTORS[Actor.ERRAND].queue,
    time_limit=ACTORS[Actor.ERRAND].limit_s * 1000,
)
def errand(errand: str, request_id: str = "") -> None:
    """Have this process look for errands now; it takes one if it has a place for it."""
    log.debug("errand.heard", errand=errand)
    for runner in _here:
        runner.wake()


def thread(means: Means, stop: threading.Event) -> threading.Thread:
    """Return a started thread that runs errands."""
    runner = Runner(means)
    _here.append(runner)
    made = threading.Thread(target=runner.run, args=(stop,), name="errands", daemon=True)
    made.start()
    return made
