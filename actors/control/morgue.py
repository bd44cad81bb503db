"""Dead letters, moved from the broker into the database, where they can be looked at.

A letter is kept before it is taken from the broker: it may be kept twice, and is then one row.
"""

import threading
from typing import Final

import structlog

from actors import broker
from actors.broker_contract import DeadLetter, QueueError
from models.commands import dead_letters
from models.database import Unavailable, borrowed

LOOK_S: Final = 2.0
BATCH: Final = 100

log = structlog.get_logger()


def run(broker_url: str, stop: threading.Event) -> None:
    """Move dead letters until *stop*; survives the database's and the broker's restarts."""
    source = broker.dead_letters_of(broker_url)
    while not stop.wait(LOOK_S):
        try:
            while source.move(keep, BATCH) == BATCH:
                pass
        except (Unavailable, QueueError) as exc:
            log.warning("dead-letters.paused", why=str(exc))
        except Exception:
            log.exception("dead-letters.failed")


def keep(letters: list[DeadLetter]) -> None:
    """Keep *letters*; safe to repeat."""
    with borrowed():
        for each in letters:
            dead_letters.keep(
                message_id=each.id,
                queue=each.queue,
                reason=each.reason,
                detail=each.detail,
                died_at=each.died_at,
                body=each.body,
            )
            log.info("dead-letter.kept", queue=each.queue, reason=each.reason, message=each.id)


def thread(broker_url: str, stop: threading.Event) -> threading.Thread:
    """Return a started thread that moves dead letters."""
    made = threading.Thread(target=run, args=(broker_url, stop), name="morgue", daemon=True)
    made.start()
    return made
