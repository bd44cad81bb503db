"""Whether an agent's clock is fit for work: what it sees, and what it may serve, bear its times."""

from typing import Final

APART_S: Final = 5
"""Seconds that an agent's clock may differ from control's; beyond it is given no work."""

_UNITS: Final = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def apart(offset_ms: int) -> str:
    """Return by how much and which way a clock is wrong, empty for one that is right enough.

    *offset_ms* is its time less control's.
    """
    seconds = abs(offset_ms) / 1000
    if seconds <= APART_S:
        return ""
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    return f"{seconds / size:.3g} {unit} {'ahead of' if offset_ms > 0 else 'behind'} control's"
