"""The one owner of all waits: each second and as leases end, it ends or retries what is overdue.

Any number of reapers may run: each workflow is judged again under its machine's lock.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from actors.control.rendering import documents
from models.commands import (
    addresses,
    discoveries,
    holdings,
    idempotency,
    past_jobs,
    runs,
    syncs,
    tasks,
    walks,
    watching,
)
from models.database import LOST, Unavailable, borrowed

EVERY_S: Final = 1.0
FORGET_S: Final = 3600.0
AFTER_S: Final = 0.02
"""Looked so long after the end of a lease, which is then over by any rounding."""

log = structlog.get_logger()


def run(stop: threading.Event) -> None:
    """Reap until *stop*."""
    pause, forget_at = EVERY_S, 0.0
    while not stop.wait(pause):
        pause = EVERY_S
        try:
            reap()
            if time.monotonic() >= forget_at:
                forget()
                forget_at = time.monotonic() + FORGET_S
            pause = _pause()
        except Unavailable as exc:
            log.warning("reaper.paused", why=str(exc))
        except Exception:
            log.exception("reaper.failed")


def reap() -> int:
    """Do what time demands now; return how many leases and workflows were judged."""
    with borrowed():
        over, overdue = tasks.lapsed(), walks.due()
        for task in over:
            log.info("task.lapsed", task=str(task))
            _each(partial(walks.lose, task, documents))
        for workflow in overdue:
            log.debug("workflow.due", workflow=str(workflow))
            _each(partial(walks.expire, workflow, documents))
        _each(addresses.free_addresses)
        _each(holdings.sweep)
        judged = _sync()
    return len(over) + len(overdue) + judged


def _sync() -> int:
    """Do the same for sync jobs."""
    over, overdue = syncs.lapsed(), syncs.due()
    for task in over:
        log.info("task.lapsed", task=str(task))
        _each(partial(syncs.lose, task))
    for job in overdue:
        log.debug("sync.due", job=str(job))
        _each(partial(syncs.look, job))
    return len(over) + len(overdue)


def forget() -> None:
    """Drop what is kept for a while only."""
    with borrowed():
        runs.renumber()
        gone = discoveries.prune()
        watching.forget()
        answers = idempotency.prune()
        of_jobs = past_jobs.prune()
    log.debug("reaper.forgot", strangers=gone, answers=answers, of_jobs=of_jobs)


def _pause() -> float:
    with borrowed():
        return tasks.lapses_in_s(EVERY_S) + AFTER_S


def _each(judge: Callable[[], object]) -> None:
    """One workflow that cannot be judged must not keep the others waiting."""
    try:
        judge()
    except LOST:
        raise
    except Exception:
        log.exception("reaper.failed")


def thread(stop: threading.Event) -> threading.Thread:
    """Return a started thread that reaps."""
    made = threading.Thread(target=run, args=(stop,), name="reaper", daemon=True)
    made.start()
    return made
