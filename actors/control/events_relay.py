"""Domain events, published in order per machine, and forgotten when they are old.

Any number of these may run: each shard is published under a lock.  The embedded queue has no
topics: there events are read over the API alone.
"""

import threading
import time
from typing import Final

import structlog

from actors import broker
from actors.broker_contract import QueueError
from models.commands import events
from models.database import Listener, Unavailable, borrowed

LOOK_S: Final = 1.0
PAUSE_S: Final = 1.0
PRUNE_S: Final = 3600.0

log = structlog.get_logger()


def run(database_url: str, broker_url: str, stop: threading.Event) -> None:
    """Publish until *stop*; survives the database's and the broker's restarts."""
    publisher = broker.event_publisher_for(broker_url)
    while not stop.is_set():
        try:
            _listen(database_url, publisher, stop)
        except (Unavailable, QueueError) as exc:
            log.warning("events.paused", why=str(exc))
            stop.wait(PAUSE_S)
    publisher.close()


def _listen(database_url: str, publisher: broker.EventPublisher, stop: threading.Event) -> None:
    listener = Listener(database_url, events.CHANNEL)
    prune_at = 0.0
    try:
        while not stop.is_set():
            with borrowed():
                events.publish(publisher.publish)
                if time.monotonic() >= prune_at:
                    events.prune()
                    prune_at = time.monotonic() + PRUNE_S
            listener.wait(LOOK_S)
    finally:
        listener.close()


def thread(database_url: str, broker_url: str, stop: threading.Event) -> threading.Thread:
    """Return a started thread that publishes."""
    made = threading.Thread(
        target=run, args=(database_url, broker_url, stop), name="events", daemon=True
    )
    made.start()
    return made
