"""Publish to actor at 200 a second: ours, Celery's, and ours through outbox and relay.

All in one run, on one RabbitMQ, quorum queues with confirms, the worker in a process of its own.
Bounds: ours <= 0.8 of Celery's median; through the outbox <= 2.5 of ours; the relay moves
>= 5,000 confirmed messages a second.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import dramatiq

from actors import broker
from models import database, outbox
from models.migrations import runner
from tests.services import postgres, rabbitmq

RATE, SAMPLES = 200, 2000
RELAYED = 20_000
OF_CELERY, OF_OURS, RELAY_RATE = 0.8, 2.5, 5_000


def measure(folder: Path) -> bool:
    """Print the figures; whether every bound holds."""
    folder.mkdir()
    with rabbitmq.running(folder / "rabbit") as rabbit, postgres.running() as cluster:
        url, database_url = rabbit.url, cluster.fresh_database()
        database.configure(database_url, connections=4)
        runner.migrate()
        ours = _latency(folder / "ours", _worker(url, "bench.1"), _publish(url, "bench.1"))
        theirs = _latency(folder / "theirs", _celery(url), _apply(url))
        with _process(
            [sys.executable, "-m", "tests.bench.queue_roles", "relay", database_url, url]
        ):
            through = _latency(folder / "through", _worker(url, "bench.2"), _promise("bench.2"))
            rate = _relayed()
        database.database.close_all()
    bounds = (
        _say("publish to actor", ours, None, None),
        _say("Celery, the same", theirs, None, None),
        _say("ours / Celery's", ours, theirs, OF_CELERY),
        _say("commit to actor", through, ours, OF_OURS),
    )
    good = rate >= RELAY_RATE
    _print(f"  the relay moves    {rate:8.0f} messages/s  (>= {RELAY_RATE})  {_mark(good)}")
    return all(bounds) and good


def _say(name: str, delays: list[float], beside: list[float] | None, most: float | None) -> bool:
    if beside is None or most is None:
        cuts = quantiles(delays, n=100)
        _print(f"  {name:18} p50 {cuts[49]:6.2f} ms  p99 {cuts[98]:6.2f} ms")
        return True
    ratio = median(delays) / median(beside)
    _print(
        f"  {name:18} p50 {median(delays):6.2f} ms  ratio {ratio:.2f}  (<= {most})  "
        f"{_mark(ratio <= most)}"
    )
    return ratio <= most


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _mark(good: bool) -> str:
    return "ok" if good else "BROKEN"


Send = Callable[[int], float]
"""Sends a message of this number; returns the moment from which its delay counts."""

Start = Callable[[Path], tuple[list[str], dict[str, str]]]


def _latency(folder: Path, start: Start, send: Send) -> list[float]:
    """Return the delays of SAMPLES messages, sent RATE a second after a warm-up."""
    folder.mkdir()
    out = folder / "delays.json"
    command, env = start(out)
    pause = threading.Event()
    with _process(command, env):
        pause.wait(4)
        began, sent = time.perf_counter(), []
        for number in range(SAMPLES):
            pause.wait(max(0.0, began + number / RATE - time.perf_counter()))
            sent.append(send(number))
        until = time.monotonic() + 60
        while not out.exists() or not out.stat().st_size:
            assert time.monotonic() < until, f"{folder.name}: messages were lost"
            pause.wait(0.1)
        pause.wait(0.2)
    arrived: dict[str, float] = json.loads(out.read_text())
    delays = [(arrived[str(number)] - at) * 1000 for number, at in enumerate(sent)]
    return delays[SAMPLES // 10 :]


@contextmanager
def _process(command: list[str], env: dict[str, str] | None = None) -> Iterator[None]:
    running = subprocess.Popen(
        command,
        env=os.environ | (env or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _worker(url: str, queue: str) -> Start:
    broker.declare(url, [queue])

    def start(out: Path) -> tuple[list[str], dict[str, str]]:
        role = [sys.executable, "-m", "tests.bench.queue_roles", "worker"]
        return [*role, url, queue, str(SAMPLES), str(out)], {}

    return start


def _publish(url: str, queue: str) -> Send:
    publisher = broker.publisher_for(url)

    def send(number: int) -> float:
        began = time.time()
        publisher.publish([(queue, _message(queue, number))])
        return began

    return send


def _message(queue: str, argument: Any) -> bytes:
    return dramatiq.Message(
        queue_name=queue, actor_name="work", args=(argument,), kwargs={}, options={}
    ).encode()


def _promise(queue: str) -> Send:
    def send(number: int) -> float:
        with database.borrowed():
            with database.database.atomic():
                outbox.promise(queue, _message(queue, number))
            return time.time()

    return send


def _celery(url: str) -> Start:
    def start(out: Path) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "celery", "-A", "tests.bench.celery_peer", "worker"]
        options = [
            "-P",
            "threads",
            "-c",
            "8",
            "--without-gossip",
            "--without-mingle",
            "-l",
            "ERROR",
        ]
        env = {"BENCH_BROKER": url, "BENCH_SAMPLES": str(SAMPLES), "BENCH_OUT": str(out)}
        return [*command, *options], env

    return start


def _apply(url: str) -> Send:
    os.environ["BENCH_BROKER"] = url
    peer = importlib.import_module("tests.bench.celery_peer")  # it reads the environment

    def send(number: int) -> float:
        began = time.time()
        peer.work.apply_async((number,))
        return began

    return send


def _relayed() -> float:
    """Return how many promised messages the relay has confirmed in a second."""
    broker_queue, body = "bench.2", _message("bench.2", 1)
    pause = threading.Event()
    with database.borrowed():
        with database.database.atomic():
            for _ in range(RELAYED):
                outbox.promise(broker_queue, body)
        began = time.perf_counter()
        while database.database.execute_sql("SELECT 1 FROM outbox LIMIT 1").fetchone():
            pause.wait(0.02)
        return RELAYED / (time.perf_counter() - began)
