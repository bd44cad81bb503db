"""What control and a site tell Prometheus, on loopback: nobody has to prove who he is there.

Loaded by processes that are asked to serve it, for its library takes memory.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors import broker
from actors.broker_contract import DEAD_LETTERS, QueueError
from actors.middleware import COUNTS, Counts

MOST_SEEN: Final = 200
"""Kinds that are told apart at a site; what comes then is counted together."""

log = structlog.get_logger()


def serve(bind: str, *collectors: Collector) -> None:
    """Answer at *bind* (address:port) in a thread, for as long as the process lives.

    An address that is taken is told in the log: work goes on without.
    """
    registry = CollectorRegistry()
    for each in collectors:
        registry.register(each)
    host, _, port = bind.rpartition(":")
    try:
        start_http_server(int(port), host.strip("[]"), registry)
    except OSError as exc:
        log.warning("metrics.not-served", bind=bind, why=str(exc))


class Queues(Collector):
    """Messages that wait, by queue; of the broker's own word."""

    def __init__(self, url: str, queues: Collection[str]) -> None:
        self._url, self._queues = url, (*queues, DEAD_LETTERS)

    def collect(self) -> Iterable[Metric]:
        """Yield them; where the broker is away, only that it is."""
        try:
            depths = broker.depths(self._url, self._queues)
        except QueueError as exc:
            log.warning("metrics.incomplete", why=str(exc))
            yield GaugeMetricFamily("sprout_broker_up", "Whether the broker answers.", value=0)
            return
        yield GaugeMetricFamily("sprout_broker_up", "Whether the broker answers.", value=1)
        waiting = GaugeMetricFamily(
            "sprout_queue_messages", "Messages that wait in a queue.", labels=["queue"]
        )
        for queue, count in depths.items():
            waiting.add_metric([queue], count)
        yield waiting


class Work(Collector):
    """Messages that this process has worked on, by actor and how it went."""

    def __init__(self, counts: Counts = COUNTS) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        done = CounterMetricFamily(
            "sprout_actor_messages", "Messages worked on.", labels=["actor", "outcome"]
        )
        for labels, count in list(self._counts.messages.items()):
            done.add_metric(labels, count)
        took = CounterMetricFamily(
            "sprout_actor_busy_seconds", "Seconds spent on them.", labels=["actor"]
        )
        for actor, seconds in list(self._counts.seconds.items()):
            took.add_metric([actor], seconds)
        yield from (done, took)


class Seen(Collector):
    """What a site's processes saw: DHCP, TFTP, DNS and HTTP, answered or not and why."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield the counts that the processes have written down."""
        told: Counter[tuple[str, str]] = Counter()
        for label, count in sorted(self._read().items()):
            kind, _, why = label.partition(" ")
            told[(kind, why) if len(told) < MOST_SEEN else ("other", "")] += count
        seen = CounterMetricFamily(
            "sprout_site_seen", "What was seen at this site.", labels=["kind", "why"]
        )
        for labels, count in told.items():
            seen.add_metric(labels, count)
        yield seen
