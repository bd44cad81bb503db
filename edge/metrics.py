"""What Prometheus scrapes at /metrics; the one owner of prometheus-flask-exporter.

Requests are counted in each worker and added up; figures of the whole of Sprout are read when they
are asked for, and are the same at every edge: take their max, not their sum.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from edge.live import handover
from models import figures
from models.database import Unavailable, borrowed
from models.figures import BUCKETS, Figures

FRESH_S: Final = 5.0
"""Seconds for which figures are not read again: many scrapers cost as much as one."""

log = structlog.get_logger()


class Metrics(PrometheusMetrics):  # type: ignore[misc] # it has no types
    """Requests by rule, and the figures."""

    def __init__(self, app: Flask, events_socket: Path) -> None:
        self._figures = CollectorRegistry()
        self._figures.register(Whole())
        self._figures.register(Streams(events_socket))
        # Grouped by rule: by path, each machine would be a time series of its own.
        super().__init__(app, group_by="url_rule", registry=CollectorRegistry())

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[str, str]:
        """Return all of it as text, and its media type."""
        text, media_type = super().generate_metrics(accept_header, names)
        encode, _ = choose_encoder(accept_header or "")
        chosen = Chosen(self._figures, frozenset(names or ()))
        # OpenMetrics ends its text with a line of its own, which may stand there once.
        return text.removesuffix("# EOF\n") + encode(chosen).decode(), media_type


class Chosen(Collector):
    """The metrics of a registry that have one of *names*; without any, all."""

    def __init__(self, registry: CollectorRegistry, names: frozenset[str]) -> None:
        self._registry, self._names = registry, names

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        for metric in self._registry.collect():
            samples = {sample.name for sample in metric.samples}
            if not self._names or self._names & {metric.name, *samples}:
                yield metric


class Whole(Collector):
    """Figures of the database; none while that is away, but that it is."""

    def __init__(self, read: Callable[[], Figures] = figures.taken) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: Figures | None = None
        self._read_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry must not read anything to learn names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of now, or of a moment ago."""
        known = self._current()
        yield _gauge("sprout_database_up", "Whether PostgreSQL answers.", known is not None)
        if known is not None:
            yield from told(known)

    def _current(self) -> Figures | None:
        with self._lock:
            if time.monotonic() >= self._read_at + FRESH_S:
                try:
                    with borrowed():
                        self._known = self._read()
                    self._read_at = time.monotonic()
                except Unavailable as exc:
                    log.warning("metrics.incomplete", why=str(exc))
                    self._known = None
            return self._known


class Streams(Collector):
    """Counters of the events process beside this edge."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def describe(self) -> Iterable[Metric]:
        """Return nothing, as above."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what the process says; where it is away, only that it is."""
        try:
            found = handover.figures(self._socket)
        except handover.NotTaken:
            yield _gauge("sprout_events_up", "Whether the events process serves streams.", 0)
            return
        listening = bool(found["listening"])
        yield _gauge("sprout_events_up", "Whether the events process serves streams.", listening)
        yield _gauge("sprout_event_streams", "Live streams that are open.", found["open"])
        yield CounterMetricFamily(
            "sprout_event_streams_opened", "Live streams so far.", value=found["opened"]
        )
        ended = CounterMetricFamily(
            "sprout_event_streams_ended", "Live streams that were ended here.", labels=["why"]
        )
        for why, count in found["ended"].items():
            ended.add_metric([why], count)
        yield ended


def told(known: Figures) -> Iterable[Metric]:
    """Yield the metrics that say *known*."""
    yield _gauge("sprout_outbox_messages", "Messages promised and not sent yet.", known.outbox)
    yield _gauge("sprout_outbox_oldest_seconds", "Age of the oldest of them.", known.outbox_age_s)
    yield _gauge("sprout_leases_held", "Tasks that agents hold.", known.leases_held)
    yield CounterMetricFamily(
        "sprout_lease_failovers", "Tasks taken from a silent agent.", value=known.leases_lost
    )
    machines = GaugeMetricFamily("sprout_machines", "Machines by state.", labels=["state"])
    for state, count in known.machines.items():
        machines.add_metric([state], count)
    yield machines
    since = GaugeMetricFamily(
        "sprout_machine_time_in_state_max_seconds",
        "How long at most a machine is in a state that should pass.",
        labels=["state"],
    )
    for state, age_s in known.in_state_s.items():
        since.add_metric([state], age_s)
    yield since
    yield from _providers(known)
    yield from _workflows(known)


def _providers(known: Figures) -> Iterable[Metric]:
    works = GaugeMetricFamily(
        "sprout_provider_up", "Whether an external provider works.", labels=["capability"]
    )
    for capability, good in known.providers.items():
        works.add_metric([capability], good)
    held = GaugeMetricFamily(
        "sprout_provider_holdings",
        "What external providers hold for machines, or may.",
        labels=["capability", "state"],
    )
    for labels, count in known.holdings.items():
        held.add_metric(labels, count)
    yield from (works, held)


def _workflows(known: Figures) -> Iterable[Metric]:
    labels = ["kind", "step"]
    running = GaugeMetricFamily(
        "sprout_workflows_running", "Running workflows by where they stand.", labels=labels
    )
    standing = GaugeMetricFamily(
        "sprout_workflow_time_in_step_max_seconds",
        "How long at most one stands there.",
        labels=labels,
    )
    for at, (count, age_s) in known.running.items():
        running.add_metric(at, count)
        standing.add_metric(at, age_s)
    ended = HistogramMetricFamily(
        "sprout_workflow_duration_seconds",
        "Workflows that have ended, by how they did, and how long they took.",
        labels=["kind", "state"],
    )
    for each in known.ended:
        buckets = [(str(float(s)), n) for s, n in zip(BUCKETS, each.buckets, strict=True)]
        ended.add_metric([each.kind, each.state], [*buckets, ("+Inf", each.count)], each.sum_s)
    yield from (running, standing, ended)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)
