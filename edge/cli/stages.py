"""How long each stage of a boot took, from the events of its workflow."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

STAGES: Final = (
    ("asked", "asked", None),
    ("plan served", "plan-served", None),
    ("power on", "step-begun", "netbooted"),
    ("first DHCP answer", "dhcp-offered", None),
    ("boot script", "script-served", None),
    ("deploy kernel", "install-started", None),
    ("installed", "installed", None),
    ("phoned home", "phoned-home", None),
    ("active", "state-moved", "active"),
)
"""(What it is called, kind of event, word that its data must hold)."""


def times(events: Sequence[Mapping[str, Any]]) -> dict[str, datetime]:
    """Return when each stage was first reached."""
    return {
        name: datetime.fromisoformat(str(found["at"]))
        for name, kind, word in STAGES
        if (found := _first(events, kind, word)) is not None
    }


def _first(
    events: Sequence[Mapping[str, Any]], kind: str, word: str | None
) -> Mapping[str, Any] | None:
    for event in events:
        if event["kind"] == kind and (word is None or word in event["data"].values()):
            return event
    return None


def table(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line a stage: seconds since the stage before, and since the beginning."""
    reached = times(events)
    if not reached:
        return
    start = before = next(iter(reached.values()))
    yield f"{'stage':<20}{'took':>9}{'in all':>9}"
    for name, at in reached.items():
        took, total = (at - before).total_seconds(), (at - start).total_seconds()
        yield f"{name:<20}{took:>8.2f}s{total:>8.2f}s"
        before = at
