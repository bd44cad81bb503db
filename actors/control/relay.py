"""The outbox, drained to the queue: woken by NOTIFY, with a slow look as the safety net."""

import threading
from typing import Final

import structlog

from actors import broker
from actors.broker_contract import Publisher, QueueError, Stuck, Unroutable
from models import outbox
from models.database import Listener, Unavailable, borrowed
from models.messages import AGENT_QUEUES

CHANNEL: Final = "sprout_outbox"
LOOK_S: Final = 0.5
PAUSE_S: Final = 1.0

log = structlog.get_logger()


def run(database_url: str, broker_url: str, stop: threading.Event) -> None:
    """Keep promises until *stop*; survives the database's and the broker's restarts."""
    publisher = broker.publisher_for(broker_url)
    while not stop.is_set():
        try:
            _listen(database_url, broker_url, publisher, stop)
        except (Unavailable, QueueError) as exc:
            log.warning("relay.paused", why=str(exc))
            stop.wait(PAUSE_S)
    publisher.close()


def _listen(
    database_url: str, broker_url: str, publisher: Publisher, stop: threading.Event
) -> None:
    listener = Listener(database_url, CHANNEL)
    try:
        while not stop.is_set():
            drain(broker_url, publisher)
            listener.wait(LOOK_S)
    finally:
        listener.close()


def drain(broker_url: str, publisher: Publisher) -> int:
    """Send everything that is promised; return how many messages went.

    Raises Unavailable or QueueError; what was not confirmed stays promised.
    """
    sent = 0
    while True:
        with borrowed():
            try:
                count = outbox.drain(publisher.publish)
            except Unroutable as exc:
                # An agent's queue that was never made, or lost with its broker: make it, and
                # send again.  The agent finds its messages there.
                log.info("relay.declared", queues=sorted(exc.queues))
                broker.declare(broker_url, exc.queues)
                continue
            except Stuck as exc:
                _renew(broker_url, exc)
                continue
        sent += count
        if count < outbox.BATCH:
            return sent


def _renew(broker_url: str, stuck: Stuck) -> None:
    """Make agents' queues anew that take nothing: one must not keep all others waiting.

    What was in them comes again: plans by the digest in the next heartbeat, tasks when their lease
    is over.  Raises *stuck* when another queue is meant, whose messages would be lost.
    """
    if not all(queue.startswith(AGENT_QUEUES) for queue in stuck.queues):
        raise stuck
    broker.renew(broker_url, stuck.queues)
    log.warning("relay.renewed", queues=sorted(stuck.queues), why=str(stuck))


def thread(database_url: str, broker_url: str, stop: threading.Event) -> threading.Thread:
    """Return a started thread that relays."""
    made = threading.Thread(
        target=run, args=(database_url, broker_url, stop), name="relay", daemon=True
    )
    made.start()
    return made
