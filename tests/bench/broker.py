"""Figures of the queues: `python -m tests.bench.broker`.

How many messages one publisher has confirmed in a second, in batches of 500, and how long a message
takes from publish to the first line of its actor at 200 a second, on RabbitMQ and on PostgreSQL.
"""

import logging
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

import dramatiq
import structlog

from actors import broker
from tests.services import postgres, rabbitmq

QUEUE = "bench.1"
BATCH = 500
BATCHES = 40
BODY = "x" * 700
RATE = 200
SAMPLES = 2000


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rabbit = stack.enter_context(rabbitmq.running(folder))
        cluster = stack.enter_context(postgres.running())
        for name, url in (("rabbitmq", rabbit.url), ("postgres", cluster.fresh_database())):
            broker.declare(url, [QUEUE])
            sys.stdout.write(f"{name}\n")
            sys.stdout.write(f"  published and confirmed: {_published(url):8.0f} messages/s\n")
            sys.stdout.write(f"  worked off, 8 threads:   {_drained(url):8.0f} messages/s\n")
            p50, p99 = _latency(url)
            sys.stdout.write(f"  publish to actor:        p50 {p50:.1f} ms, p99 {p99:.1f} ms\n")


def _published(url: str) -> float:
    """Return how many messages one publisher has stored in a second."""
    publisher = broker.publisher_for(url)
    batch = [(QUEUE, _message(BODY))] * BATCH
    publisher.publish(batch)
    began = time.perf_counter()
    for _ in range(BATCHES):
        publisher.publish(batch)
    rate = BATCH * BATCHES / (time.perf_counter() - began)
    publisher.close()
    return rate


def _drained(url: str) -> float:
    """Return how many empty actors a worker of 8 threads runs in a second."""
    worker = _Worker(url, BATCH * (BATCHES + 1))
    began = time.perf_counter()
    worker.run()
    return worker.wanted / (time.perf_counter() - began)


def _latency(url: str) -> tuple[float, float]:
    """Return the 50th and 99th percentile from publish to actor, in milliseconds."""
    worker = _Worker(url, SAMPLES)
    thread = threading.Thread(target=worker.run)
    thread.start()
    publisher = broker.publisher_for(url)
    pause = threading.Event()
    began = time.perf_counter()
    for number in range(SAMPLES):
        pause.wait(max(0.0, began + 1 + number / RATE - time.perf_counter()))
        publisher.publish([(QUEUE, _message(time.perf_counter()))])
    thread.join()
    publisher.close()
    cuts = quantiles(worker.delays_ms, n=100)
    return cuts[49], cuts[98]


class _Worker:
    """Runs until it has seen as many messages as it wants."""

    def __init__(self, url: str, wanted: int) -> None:
        self.wanted = wanted
        self.delays_ms: list[float] = []
        self._done = threading.Event()
        self._broker = broker.broker_for(url, queues=[QUEUE], consume=True)
        dramatiq.actor(self._work, actor_name="work", queue_name=QUEUE, broker=self._broker)

    def run(self) -> None:
        broker.run_worker(self._broker, threads=8, queues=[QUEUE], stop=self._done)
        self._broker.close()

    def _work(self, sent: Any) -> None:
        now = time.perf_counter()
        self.delays_ms.append((now - sent) * 1000 if isinstance(sent, float) else 0.0)
        if len(self.delays_ms) >= self.wanted:
            self._done.set()


def _message(argument: Any) -> bytes:
    return dramatiq.Message(
        queue_name=QUEUE, actor_name="work", args=(argument,), kwargs={}, options={}
    ).encode()


if __name__ == "__main__":
    main()
