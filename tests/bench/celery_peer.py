"""Celery as it would be used for the same: a quorum queue, confirms, threads.

BENCH_BROKER, BENCH_SAMPLES and BENCH_OUT say where, how many, and what file to write.
"""

import json
import os
import time
from pathlib import Path

from celery import Celery
from kombu import Queue

QUEUE = "bench.celery"

app = Celery("peer", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_queues=[Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    broker_transport_options={"confirm_publish": True},
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
_arrived: dict[int, float] = {}


@app.task(name="work")
def work(number: int) -> None:
    """Note when the message came (seconds since the epoch)."""
    _arrived[number] = time.time()
    if len(_arrived) == int(os.environ["BENCH_SAMPLES"]):
        Path(os.environ["BENCH_OUT"]).write_text(json.dumps(_arrived))
