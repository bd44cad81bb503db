"""What is wrong in a YAML file: each fault with its line, its place and its cure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]
Lines = Mapping[Place, int]

_DEEPEST: Final = 8
_MOST: Final = 20_000
_CURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "Add it.",
        "wanted": "Add it.",
        "bool_parsing": "Write true or false.",
        "bool_type": "Write true or false.",
        "literal_error": "Write one of them.",
        "string_type": "Write a text, on one line.",
        "string_too_short": "It must not be empty.",
        "string_too_long": "Shorten it.",
        "string_pattern_mismatch": "Correct its form.",
        "dict_type": "Write keys below it, each with a value.",
        "model_type": "Write keys below it, each with a value.",
        "too_short": "Add one.",
    }
)
"""What to do about a fault, by pydantic's word for it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """*line* counts from 1; 0: of the file as a whole.  *place* has dots between its keys."""

    line: int
    place: str
    what: str
    cure: str


def lines(path: Path) -> Lines:
    """Return the line on which each key of the file stands, which `config.policy.read` took."""
    found: dict[Place, int] = {}
    node = yaml.compose(path.read_bytes(), Loader=yaml.BaseLoader)
    if node is not None:
        _walk(node, (), found)
    return found


def _walk(node: yaml.Node, place: Place, found: dict[Place, int]) -> None:
    # By its aliases a small file may be a very large tree.
    if len(place) > _DEEPEST or len(found) > _MOST:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, str(key.value))
            found[below] = key.start_mark.line + 1
            _walk(value, below, found)


def line_of(place: Place, known: Lines) -> int:
    """Return the line of *place*, or of the nearest that stands above it; 0 for none."""
    while place:
        if place in known:
            return known[place]
        place = place[:-1]
    return 0


def told(
    errors: Iterable[ErrorDetails],
    known: Lines,
    wants: Callable[[Place], tuple[str, Sequence[str]]],
) -> list[Fault]:
    """Return the *errors* of pydantic as faults; *wants* says what is wanted at a place.

    That is: what the key is for, and the keys that there are beside it.
    """
    return sorted({_fault(error, known, *wants(error["loc"])) for error in errors})


def _fault(error: ErrorDetails, known: Lines, meaning: str, keys: Sequence[str]) -> Fault:
    place = tuple(part for part in error["loc"] if part != "[key]")
    message: Any = error["msg"].removeprefix("Value error, ")
    cure = _CURES.get(error["type"], "")
    if error["type"].startswith("bool_"):
        message = "it is neither true nor false"
    if error["type"] == "extra_forbidden":
        message, cure = "there is no such key", _spelt(str(place[-1]), keys)
    return Fault(
        line=line_of(place, known),
        place=".".join(map(str, place)),
        what=f"{message[:1].lower()}{message[1:]}",
        cure=" ".join(filter(None, (cure, meaning))) or "Correct it.",
    )


def _spelt(word: str, keys: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415 - the edge reads these files too, and tells no spelling

    near = difflib.get_close_matches(word, keys, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Remove it; known keys: {', '.join(keys)}." if keys else "Remove it."
