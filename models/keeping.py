"""Which files are needed, told in few bytes: by the beginnings of their SHA-256.  Pure.

Rule 1: two files that begin alike are both kept; none that is needed is ever named as not.
"""

from collections.abc import Iterable
from typing import Final

from models.errors import Invalid

DIGITS: Final = 12
"""Hexadecimal digits of each; by chance one in 2**48 begins as a given one does."""

MOST: Final = 15_000
"""Files that one message can tell of."""


def told(needed: Iterable[str]) -> str:
    """Return the beginnings of the SHA-256s *needed*, one after another.  Raises Invalid."""
    beginnings = sorted({sha256.lower()[:DIGITS] for sha256 in needed})
    if len(beginnings) > MOST:
        raise Invalid(f"{len(beginnings)} files are needed; {MOST} can be told of at once")
    return "".join(beginnings)


def heard(text: str) -> frozenset[str]:
    """Return the beginnings that *text* tells.  Raises Invalid for what told none of."""
    if len(text) % DIGITS or not all(each in "0123456789abcdef" for each in text):
        raise Invalid("what is needed is malformed", field="/body/params/needed")
    return frozenset(text[at : at + DIGITS] for at in range(0, len(text), DIGITS))


def keeps(beginnings: frozenset[str], sha256: str) -> bool:
    """Whether a file of *sha256* is among those, or may be."""
    return sha256[:DIGITS] in beginnings
