"""The one owner of all waits: every second it ends or retries what is overdue.

Any number of reapers may run: each workflow is judged again under its machine's lock.
"""

import threading
from typing import Final

import structlog

from actors.control.rendering import documents
from models.commands import walks
from models.database import Unavailable, borrowed

EVERY_S: Final = 1.0

log = structlog.get_logger()


def run(stop: threading.Event) -> None:
    """Reap until *stop*."""
    while not stop.wait(EVERY_S):
        try:
            reap()
        except Unavailable as exc:
            log.warning("reaper.paused", why=str(exc))
        except Exception:
            # The rim: one workflow that cannot be judged must not keep the others waiting.
            log.exception("reaper.failed")


def reap() -> int:
    """Expire what is overdue now; return how many workflows were judged."""
    with borrowed():
        overdue = walks.due()
        for workflow in overdue:
            log.info("workflow.overdue", workflow=str(workflow))
            walks.expire(workflow, documents)
    return len(overdue)


def thread(stop: threading.Event) -> threading.Thread:
    """Return a started thread that reaps."""
    made = threading.Thread(target=run, args=(stop,), name="reaper", daemon=True)
    made.start()
    return made
