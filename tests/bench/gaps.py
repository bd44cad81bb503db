"""Whose turn it was, between the rows of a timeline: how long Sprout kept others waiting.

Sprout's are the gaps from commit to BMC call sent and from callback to next step begun, with the
site's verifying of files and its waiting for a power state; and the time from a machine's request
to its answer, without the transfer of an artifact.  The BMC's own time is taken off.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from models.kinds import Kind
from models.observations import Seen, Source
from models.steps import Party
from models.workflows import TABLES

Event = Mapping[str, Any]

AWAITED = {
    step.name: step.until for step in TABLES[Kind.PROVISION].steps if step.party is Party.MACHINE
}
"""Step in which a machine is waited for → the kind that ends it."""

ANSWERS = frozenset({Seen.DHCP_OFFERED, Seen.DHCP_ACKED, Seen.SCRIPT_SERVED, Seen.SEED_SERVED})
"""Kinds whose `ms` is the time from request to answer; those of artifacts are transfers."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Seconds in which the next to act was Sprout."""

    after: str
    before: str
    seconds: float


def gaps(events: Sequence[Event]) -> Iterator[Gap]:
    """Yield Sprout's gaps in the *events* of one provisioning, as /v1 tells them."""
    rows = sorted(events, key=lambda row: (_at(row), row["id"]))
    awaited: Seen | None = None
    for row, following in pairwise(rows):
        awaited = _awaited(row, awaited)
        between = _at(following) - _at(row)
        spent = _ms(row) / 1000
        if awaited is None:
            own = between - spent if row["kind"] == Seen.BMC_CALL else between
        else:
            own = spent if row["kind"] in ANSWERS else 0.0
        if own > 0:
            yield Gap(_said(row), _said(following), min(own, between))


def share(events: Sequence[Event]) -> float:
    """Return the sum of Sprout's gaps, in seconds."""
    return sum(gap.seconds for gap in gaps(events))


def _awaited(row: Event, before: Seen | None) -> Seen | None:
    """Return what a machine is waited for to do after *row*; None when it is Sprout's turn."""
    if row["kind"] == Seen.STEP_BEGUN:
        return AWAITED.get(row["data"]["step"])
    return None if row["kind"] == before else before


def _at(row: Event) -> float:
    return datetime.fromisoformat(row["at"]).timestamp()


def _ms(row: Event) -> float:
    return float(row["data"].get("ms", 0))


def _said(row: Event) -> str:
    word = row["data"].get("step", "") if row["source"] == Source.CONTROL else ""
    return f"{row['kind']} {word}".strip()
