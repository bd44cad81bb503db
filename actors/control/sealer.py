"""Chains what was committed to the audit into seals, within a second, beside every transaction.

Each hash is logged: kept where the database's owner cannot reach, one proves the chain before it.
"""

import threading
from typing import Final

import structlog

from models.commands import seals
from models.database import Unavailable, borrowed

LOOK_S: Final = 0.5

log = structlog.get_logger()


def run(stop: threading.Event) -> None:
    """Seal until *stop*; survives the database's restarts."""
    while not stop.wait(LOOK_S):
        try:
            while seal():
                pass
        except Unavailable as exc:
            log.warning("sealer.paused", why=str(exc))
        except Exception:
            log.exception("sealer.failed")


def seal() -> bool:
    """Make one seal; whether there was something to seal."""
    with borrowed():
        made = seals.seal_next()
    if made is None:
        return False
    log.info("audit.sealed", seal=made.id, rows=len(made.ids), hash=made.hash)
    return True


def thread(stop: threading.Event) -> threading.Thread:
    """Return a started thread that seals."""
    made = threading.Thread(target=run, args=(stop,), name="sealer", daemon=True)
    made.start()
    return made
