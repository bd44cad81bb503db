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
FRESH_S: Final = 150.0
"""Seconds after which what was found says nothing any more."""

_LATEST: Final = """
SELECT DISTINCT ON (subject) subject, state, detail FROM errands
WHERE name = %s AND finished_at > now() - %s * interval '1 second'
ORDER BY subject, finished_at DESC"""

_KNOWN: Final = """
SELECT DISTINCT subject FROM errands
WHERE name = %s AND (finished_at IS NULL OR finished_at > now() - %s * interval '1 second')"""

_LEFT: Final = """
SELECT capability, name, detail FROM holdings
WHERE state = 'left' AND gone_at > now() - interval '30 days' ORDER BY gone_at"""
_STATES: Final = """
SELECT capability, state, count(*) FROM holdings WHERE state <> 'gone' GROUP BY capability, state"""

_FORGET: Final = """
DELETE FROM errands WHERE workflow_id IS NULL AND finished_at < now() - CASE name
    WHEN %s THEN interval '1 hour' ELSE interval '90 days' END"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a provider of *capability* does, in words where it does not work."""

    capability: str
    good: bool
    detail: str = ""


def look(capabilities: Collection[str]) -> None:
    """Have those providers looked at that nobody looked at for a while."""
    with database.atomic():
        rows = database.execute_sql(_KNOWN, (Errand.PROVIDER_HEALTH.value, EVERY_S)).fetchall()
        recent = {UUID(str(row[0])) for row in rows}
        for each in capabilities:
            if _subject(each) not in recent:
                params = {"capability": each}
                key = f"provider-health/{each}"
                with suppress(IntegrityError), database.atomic():  # another process was faster
                    errands.ask(
                        Errand.PROVIDER_HEALTH, _subject(each), key, params=params, deadline_s=60
                    )


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
    return [(row[0], row[1], row[2]) for row in database.execute_sql(_LEFT).fetchall()]


def held() -> dict[tuple[str, str], int]:
    """Return how much providers hold, by capability and state."""
    return {(row[0], row[1]): row[2] for row in database.execute_sql(_STATES).fetchall()}


def forget() -> int:
    """Forget errands of long ago, those of workflows aside; return how many."""
    return int(database.execute_sql(_FORGET, (Errand.PROVIDER_HEALTH.value,)).rowcount)


def _subject(capability: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"sprout:provider:{capability}")
