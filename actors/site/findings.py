"""What a task found, cut to what a message holds.  Pure: the whole of it is evidence."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

RECORD: Final = "record"
"""The part of a result that never crosses in a message: what a peer said, word for word."""

FILES: Final = "files"
"""The part of a result that goes up apart as it is: contents by name."""

MOST: Final = 64 * 1024
"""Bytes of a result in a message: the site's journal and control's timeline hold it too."""

_STEPS: Final = ((256, 256), (128, 128), (32, 128), (8, 64), (2, 32))
"""So many entries of a list, and characters of a text, are left; each step leaves less."""


def divided(kind: str, result: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what of *result* goes into a message, and by name what goes up apart."""
    apart: dict[str, bytes] = dict(result.get(FILES) or {})
    small = {key: value for key, value in result.items() if key not in {RECORD, FILES}}
    if RECORD in result:
        apart[f"{kind}-record.json"] = _readable(result[RECORD])
    if _size(small) > MOST:
        apart[f"{kind}-result.json"] = _readable(small)
        small = condensed(small)
    return small, apart


def condensed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return as much of *result* as MOST bytes hold: its form stays, lists and texts are cut."""
    for entries, characters in _STEPS:
        small: dict[str, Any] = _cut(result, entries, characters)
        if _size(small) <= MOST:
            return small
    return {}


def _cut(value: Any, entries: int, characters: int) -> Any:
    match value:
        case str():
            return value[:characters]
        case list() | tuple():
            return [_cut(each, entries, characters) for each in value[:entries]]
        case Mapping():
            kept = islice(value.items(), entries)
            return {key[:characters]: _cut(each, entries, characters) for key, each in kept}
        case _:
            return value


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _readable(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode()
