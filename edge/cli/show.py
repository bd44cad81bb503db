"""Results on standard output: tables for people, JSON and YAML for programs."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final

from edge.cli import terminal

Row = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Row], Any]]
"""Heading → the row's name for it, or what is made of the row."""


class Form(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


_FORM: Final[ContextVar[Form]] = ContextVar("form", default=Form.TABLE)
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
_WORDS: Final = frozenset(
    {"actor", "data", "detail", "does", "name", "reason", "rule", "sites", "states", "what"}
)
"""Columns that may be shortened; what is compared or copied is not among them."""
_LEAST: Final = 12
_GAP: Final = "  "


def choose(form: Form) -> None:
    """Have what is shown from now on written in *form*."""
    _FORM.set(form)


def for_programs() -> bool:
    """Whether results are for programs, which want all of them, and nothing but them."""
    return _FORM.get() is not Form.TABLE


def rows(found: Sequence[Row], columns: Columns) -> None:
    """Print a list; to people as a table with *columns*."""
    if for_programs():
        data(list(found))
    elif not found:
        terminal.tell("none yet")
    else:
        for line in _table(found, columns):
            terminal.out(line)


def record(found: Row, **shortly: Callable[[Any], Any]) -> None:
    """Print one thing; to people a field a line, and those of *shortly* as it makes of them."""
    if for_programs():
        data(found)
        return
    read = {name: shortly[name](v) if name in shortly and v else v for name, v in found.items()}
    for line in _fields(read):
        terminal.out(line)


def made(found: Row, told: str, *, name: str = "id") -> None:
    """Print what came to be: its id (its *name*) to people, who are *told* the rest beside it."""
    if for_programs():
        data(found)
    else:
        terminal.out(str(found[name]))
    if told:
        terminal.tell(told)


def done(answer: Row, told: str) -> None:
    """Tell what was done; programs get the *answer*."""
    if for_programs():
        data(answer)
    terminal.tell(told)


def data(found: Any) -> None:
    """Print *found* for programs; escapes stand for all that is not ASCII."""
    if _FORM.get() is Form.YAML:
        import yaml

        terminal.out(yaml.safe_dump(found, sort_keys=False, default_flow_style=False).rstrip("\n"))
    else:
        terminal.out(json.dumps(found, indent=2))


def each(found: Row, line: str) -> None:
    """Print one of many that come one by one: a *line*, a JSON line, or a YAML document."""
    match _FORM.get():
        case Form.TABLE:
            terminal.out(line)
        case Form.JSON:
            terminal.out(json.dumps(found))
        case Form.YAML:
            terminal.out("---")
            data(found)


def _table(found: Sequence[Row], columns: Columns) -> Iterator[str]:
    cells = [[cell(_value(row, what)) for what in columns.values()] for row in found]
    heads = [head.upper() for head in columns]
    widths = [max(map(terminal.width, column)) for column in zip(heads, *cells, strict=True)]
    loose = [n for n, head in enumerate(columns) if head in _WORDS]
    fitting = _fitting(widths, loose, terminal.columns() - len(_GAP) * (len(widths) - 1))
    for line in (heads, *cells):
        shown = map(terminal.shortened, line, fitting)
        yield _GAP.join(map(terminal.padded, shown, fitting)).rstrip()


def _value(row: Row, what: str | Callable[[Row], Any]) -> Any:
    return row.get(what) if isinstance(what, str) else what(row)


def _fitting(widths: list[int], loose: list[int], room: int) -> list[int]:
    """Return *widths* with the widest of the *loose* made less wide until *room* is enough."""
    widths = list(widths)
    while sum(widths) > room:
        widest = max(loose, key=lambda n: widths[n], default=None)
        if widest is None or widths[widest] <= _LEAST:
            break
        widths[widest] = max(_LEAST, widths[widest] - (sum(widths) - room))
    return widths


def _fields(found: Row) -> Iterator[str]:
    width = max((terminal.width(terminal.clean(name)) for name in found), default=0)
    for name, value in found.items():
        first, *more = list(_lines(value)) or ["-"]
        yield f"{terminal.padded(terminal.clean(name), width)}{_GAP}{first}"
        yield from (f"{' ' * width}{_GAP}{line}" for line in more)


def _lines(value: Any) -> Iterator[str]:
    """Yield how *value* is read by people, a line a part."""
    if isinstance(value, Mapping):
        yield from (f"{terminal.clean(str(name))}: {cell(part)}" for name, part in value.items())
    elif isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
        yield from map(cell, value)
    elif isinstance(value, str) and "\n" in value:
        yield from map(terminal.clean, value.splitlines())
    else:
        yield cell(value)


def cell(value: Any) -> str:
    """Return *value* on one line, fit for a terminal."""
    if value in (None, "", [], {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{terminal.clean(str(n))}={cell(v)}" for n, v in value.items())
        case list():
            return ", ".join(map(cell, value))
        case _:
            text = str(value)
            moment = _MOMENT.fullmatch(text)
            return f"{moment[1]} {moment[2]}Z" if moment else terminal.clean(text)
