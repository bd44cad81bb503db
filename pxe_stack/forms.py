"""The body of a callback, written by a machine that may be anybody: bounded, then plain text."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

LARGEST: Final = 32 * 1024
"""Bytes of a body."""
MOST_FIELDS: Final = 48
LONGEST_NAME: Final = 64
LONGEST_VALUE: Final = 2048
"""Characters of a value: an RSA host key of 8192 bits has 1,400."""


class Unreadable(Exception):
    """The body is too large, or has too many fields."""


def read(body: bytes) -> Mapping[str, str]:
    """Return the fields of *body*, the first of each name, cut and without control characters.

    Raises Unreadable.
    """
    if len(body) > LARGEST:
        raise Unreadable(f"the form is over {LARGEST} bytes")
    text = body.decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as exc:
        raise Unreadable(f"the form has over {MOST_FIELDS} fields") from exc
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(_plain(name, LONGEST_NAME), _plain(value, LONGEST_VALUE))
    return fields


def _plain(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:most]).strip()
