"""Whether external providers work: control looks from time to time, and every process can tell."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from peewee import IntegrityError

from models.commands import errands, providing
from models.database import database
from models.errands import Errand

EVERY_S: Final = 30.0
SYNC_S: Final = 300.0
"""Seconds between two looks at the networks of an external provider."""

_NETWORKS: Final = "network"
FRESH_S: Final = 150.0
"""Seconds after which what was found says nothing any more."""

_LATEST: Final = """
SELECT DISTINCT ON (subject) subject, state, detail FROM errands
WHERE name = %s AND finished_at > now() - %s * interval '1 second'
ORDER BY subject, finished_at DESC"""

_KNOWN: Final = """
SELECT DISTINCT subject FROM errands
WHERE name = %s AND (finished_at IS NULL OR finished_at > now() - %s * interval '1 second')"""

_SYNCED: Final = """
SELECT state, detail, result FROM errands WHERE name = %s AND finished_at IS NOT NULL
ORDER BY finished_at DESC LIMIT 1"""

_LEFT: Final = """
SELECT capability, name, detail FROM holdings
WHERE state = 'left' AND gone_at > now() - interval '30 days' ORDER BY gone_at"""
_STATES: Final = """
SELECT capability, state, count(*) FROM holdings WHERE state <> 'gone' GROUP BY capability, state"""

_FORGET: Final = """
DELETE FROM errands WHERE workflow_id IS NULL AND finished_at < now() - CASE name
    WHEN %s THEN interval '1 hour' WHEN %s THEN interval '1 hour' ELSE interval '90 days' END"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a provider of *capability* does, in words where it does not work."""

    capability: str
    good: bool
    detail: str = ""


def look(capabilities: Collection[str]) -> None:
    """Have those providers looked at that nobody looked at for a while."""
    with database.atomic():
        recent = _recent(Errand.PROVIDER_HEALTH, EVERY_S)
        for each in capabilities:
            if _subject(each) not in recent:
                params = {"capability": each}
                key = f"provider-health/{each}"
                _asked(Errand.PROVIDER_HEALTH, each, key, params=params, deadline_s=60)
        if _NETWORKS in capabilities and not _recent(Errand.NETWORK_SYNC, SYNC_S):
            name = Errand.NETWORK_SYNC
            _asked(name, _NETWORKS, name.value, params={}, deadline_s=SYNC_S / 2, tries=5)


def _asked(name: Errand, capability: str, key: str, **how: Any) -> None:
    """Ask for an errand, unless another process was faster."""
    with suppress(IntegrityError), database.atomic():
        errands.ask(name, _subject(capability), key, **how)


def _recent(name: Errand, within_s: float) -> set[UUID]:
    rows = database.execute_sql(_KNOWN, (name.value, within_s)).fetchall()
    return {UUID(str(row[0])) for row in rows}


def standing() -> tuple[Standing, ...]:
    """Return how the external providers do that workflows which begin here will use."""
    args = (Errand.PROVIDER_HEALTH.value, FRESH_S)
    found = {UUID(str(row[0])): row[1:] for row in database.execute_sql(_LATEST, args).fetchall()}
    return tuple(_of(each, found) for each in sorted(providing.capabilities()))


def _of(capability: str, found: Mapping[UUID, Any]) -> Standing:
    state, detail = found.get(_subject(capability), ("", ""))
    if not state:
        variable = f"SPROUT_{capability.upper()}_PROVIDER"
        detail = f"nobody looks at it: does control run, with {variable}=external?"
    return Standing(capability=capability, good=state == "done", detail=detail)


def left() -> list[tuple[str, str, str]]:
    """Return (capability, name, why) of what a person must see to at a provider, for 30 days."""
    rows = database.execute_sql(_LEFT).fetchall()
    return [*_networks(), *((row[0], row[1], row[2]) for row in rows)]


def _networks() -> list[tuple[str, str, str]]:
    """Return what of an external provider's networks was not taken in when it was asked last."""
    if _NETWORKS not in providing.capabilities():
        return []
    args = (Errand.NETWORK_SYNC.value,)
    for state, detail, result in database.execute_sql(_SYNCED, args).fetchall():
        if state != "done":
            return [(_NETWORKS, "all", detail)]
        told = [(_NETWORKS, row["network"], row["why"]) for row in result["refusals"]]
        gone = f"{result['gone']} are gone there, and not provisioned on any more"
        return [*told, *([(_NETWORKS, "networks", gone)] if result["gone"] else [])]
    return []


def held() -> dict[tuple[str, str], int]:
    """Return how much providers hold, by capability and state."""
    return {(row[0], row[1]): row[2] for row in database.execute_sql(_STATES).fetchall()}


def forget() -> int:
    """Forget errands of long ago, those of workflows aside; return how many."""
    args = (Errand.PROVIDER_HEALTH.value, Errand.NETWORK_SYNC.value)
    return int(database.execute_sql(_FORGET, args).rowcount)


def _subject(capability: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"sprout:provider:{capability}")
