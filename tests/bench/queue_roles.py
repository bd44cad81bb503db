"""Processes that a figure of the queues needs beside its own: `python -m tests.bench.queue_roles`.

worker BROKER QUEUE SAMPLES FILE    works off SAMPLES messages, and writes when each came
relay DATABASE BROKER               drains the outbox until it is ended
"""

import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import dramatiq
import structlog

from actors import broker
from actors.control import relay
from models import database

THREADS = 8


def worker(url: str, queue: str, samples: int, out: Path) -> None:
    """Write when each message reached its actor's first line (seconds since the epoch)."""
    arrived: dict[int, float] = {}
    done = threading.Event()
    queues = broker.broker_for(url, queues=[queue], consume=True)

    def work(number: int) -> None:
        arrived[number] = time.time()
        if len(arrived) >= samples:
            done.set()

    dramatiq.actor(work, actor_name="work", queue_name=queue, broker=queues)
    broker.run_worker(queues, threads=THREADS, queues=[queue], stop=done)
    out.write_text(json.dumps(arrived))


def relaying(database_url: str, broker_url: str) -> None:
    """Keep promises until SIGTERM."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    database.configure(database_url, connections=4)
    relay.run(database_url, broker_url, stop)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    match sys.argv[1:]:
        case ["worker", url, queue, samples, out]:
            worker(url, queue, int(samples), Path(out))
        case ["relay", database_url, broker_url]:
            relaying(database_url, broker_url)
