"""A worker that takes messages, says so, and never finishes one: a test kills it."""

import sys
import threading

import dramatiq
import structlog

from actors import broker


def main(url: str, queue: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    made = broker.broker_for(url, queues=[queue], consume=True)
    forever = threading.Event()

    def work(word: str) -> None:
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()
        forever.wait()

    dramatiq.actor(work, actor_name="work", queue_name=queue, broker=made)
    broker.run_worker(made, threads=1, queues=[queue], stop=forever)


if __name__ == "__main__":
    main(*sys.argv[1:])
