"""A network's dynamic pool, cut into slices: each belongs to one agent, so that agents that never
speak with each other give no address twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Final

SLICES: Final = 16
"""Into how many slices a pool is cut, at most: what agents that come later still find."""


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """Addresses from *first* to *last*, both included."""

    first: IPv4Address
    last: IPv4Address


def slices(first: IPv4Address, last: IPv4Address, count: int = SLICES) -> tuple[Slice, ...]:
    """Cut a pool into *count* disjoint slices, or one for each address of a smaller pool."""
    size = int(last) - int(first) + 1
    count = min(count, size)
    marks = [int(first) + size * n // count for n in range(count + 1)]
    return tuple(Slice(IPv4Address(a), IPv4Address(b - 1)) for a, b in pairwise(marks))


def share(free: Sequence[Slice], held: int, others: int) -> Collection[Slice]:
    """Return the free slices that an agent is given that holds *held* and has *others* beside it.

    Each leaves room for one more agent than there are.
    """
    fair = max(1, SLICES // (others + 2))
    return sorted(free)[: max(0, fair - held)]
