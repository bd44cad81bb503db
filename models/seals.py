"""The chain over the audit: each seal holds the hash of rows and of the seal before it.

Rows are sealed after they are committed, in whatever order they were: a seal names its rows.  What
a seal covers cannot be changed, taken away or slipped in afterwards without every later hash being
another; who noted a hash elsewhere (control's log has each) can tell even a chain made anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

START: Final = "0" * 64
"""What the first seal has for the hash before it."""

FIELDS: Final = (
    "id",
    "at",
    "actor",
    "action",
    "objectKind",
    "objectId",
    "siteId",
    "machineId",
    "outcome",
    "reason",
    "requestId",
    "sourceIp",
    "data",
)
"""What is sealed of a row: all of it, by the names that `/v1/audit` gives."""


@dataclass(frozen=True, slots=True)
class Seal:
    """One link: *ids* are the rows it covers, ascending; hashes are 64 hexadecimal digits."""

    id: int
    ids: tuple[int, ...]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found: *faults* are sentences, empty when all is as it was sealed."""

    sealed: int
    unsealed: tuple[int, ...]
    last: str
    faults: tuple[str, ...] = field(default=())


def line(row: Mapping[str, Any]) -> str:
    """Return the canonical form of a row as `/v1/audit` gives it.  Raises KeyError, ValueError."""
    told = {name: row[name] for name in FIELDS} | {"at": _moment(row["at"])}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(previous: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the hash of a seal over *rows* that follows the hash *previous*."""
    whole = "\n".join((previous, *map(line, rows)))
    return hashlib.sha256(whole.encode()).hexdigest()


def verify(
    rows: Mapping[int, Mapping[str, Any]], seals: Sequence[Seal], *, expect: str = ""
) -> Verdict:
    """Compare *rows*, by id, with the chain of *seals*, in order.

    *expect* is a hash that was noted before: it must be one of the chain's.
    """
    faults: list[str] = []
    previous, sealed = START, set[int]()
    for each in seals:
        faults += _faults(each, previous, rows, sealed)
        sealed.update(each.ids)
        previous = each.hash
    if expect and expect not in {START, *(each.hash for each in seals)}:
        faults.append(f"the hash {expect} is not in this chain: it was made anew, or cut off")
    unsealed = tuple(sorted(rows.keys() - sealed))
    return Verdict(sealed=len(sealed), unsealed=unsealed, last=previous, faults=tuple(faults))


def _faults(
    seal: Seal, previous: str, rows: Mapping[int, Mapping[str, Any]], sealed: set[int]
) -> Iterable[str]:
    if seal.previous != previous:
        yield f"seal {seal.id} does not follow the one before it: a seal is missing or another's"
    missing = [each for each in seal.ids if each not in rows]
    if missing:
        yield f"seal {seal.id}: row {missing[0]} is gone ({len(missing)} of {len(seal.ids)})"
    elif digest(seal.previous, (rows[each] for each in seal.ids)) != seal.hash:
        yield f"seal {seal.id}: a row of {seal.ids[0]}…{seal.ids[-1]} was changed"
    twice = sealed.intersection(seal.ids)
    if twice:
        yield f"seal {seal.id}: row {min(twice)} is sealed twice"


def _moment(at: Any) -> str:
    """Return *at* (a datetime, or ISO 8601 text) to the microsecond, in UTC."""
    found = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
