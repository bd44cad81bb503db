"""Parts of lists: each goes on after a row, not after a number of rows.

So what is added or taken away between two parts neither repeats a row nor hides one.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar
from uuid import UUID

from peewee import EnclosedNodeList, Field, IntegerField, Ordering, TextField, UUIDField, Value
from playhouse.postgres_ext import DateTimeTZField  # type: ignore[import-untyped] # no stubs

from models.errors import Invalid

LIMIT: Final = 100
"""Rows of one part, unless told."""

_LARGEST: Final = 2**63 - 1

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Ask:
    """At most *limit* rows after *cursor*, sorted by *sort*; a `-` before it turns it round.

    Without a sort, the list's own; without a cursor, from the start.
    """

    sort: str = ""
    cursor: str = ""
    limit: int = LIMIT


FIRST: Final = Ask()


class Part(list[_Row]):
    """A part of a list; *next* is the cursor of what follows, None at the end."""

    def __init__(self, rows: Sequence[_Row] = (), following: str | None = None) -> None:
        super().__init__(rows)
        self.next = following


@dataclass(frozen=True)
class Order:
    """How a list can be sorted: columns that are never null, by the API's word for each.

    Attributes:
        of: what is listed; a cursor of another list is refused.
        identity: the column that tells rows apart whose sorted column is the same.
        usual: the sort of who names none.
    """

    of: str
    columns: Mapping[str, Any]
    identity: Any
    usual: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return every sort there is."""
        return tuple(sign + name for name in self.columns for sign in ("", "-"))

    def part(
        self, query: Any, ask: Ask, shown: Callable[[list[Any]], Sequence[_Row]]
    ) -> Part[_Row]:
        """Return the part of *query* that *ask* wants, its rows turned by *shown* all at once.

        Raises Invalid for a cursor that is none of this list in this order.
        """
        back, columns, place = self.back(ask), self._columns(self._sort(ask)), self.place(ask)
        if place:
            query = query.where(_beyond(columns, place, back=back))
        ways = [Ordering(each, "DESC" if back else "ASC") for each in columns]
        return self.cut(list(query.order_by(*ways).limit(ask.limit + 1)), ask, shown)

    def back(self, ask: Ask) -> bool:
        """Whether the largest come first."""
        return self._sort(ask).startswith("-")

    def place(self, ask: Ask) -> list[Any]:
        """Return the values of the row that *ask* goes on after; [] at the start.

        Raises Invalid.
        """
        return self._place(self._sort(ask), ask.cursor) if ask.cursor else []

    def cut(
        self, rows: Sequence[Any], ask: Ask, shown: Callable[[list[Any]], Sequence[_Row]]
    ) -> Part[_Row]:
        """Return the part that *rows* make, which are one more than asked for where more follow."""
        kept = list(rows[: ask.limit])
        more = len(rows) > ask.limit
        return Part(shown(kept), self._cursor(self._sort(ask), kept[-1]) if more else None)

    def _sort(self, ask: Ask) -> str:
        sort = ask.sort or self.usual
        if sort not in self.words:
            raise Invalid(f"{sort} is no sort of {self.of}", field="/sort")
        return sort

    def _columns(self, sort: str) -> list[Any]:
        column = self.columns[sort.removeprefix("-")]
        return [column] if column is self.identity else [column, self.identity]

    def _cursor(self, sort: str, row: Any) -> str:
        values = [_written(getattr(row, each.name)) for each in self._columns(sort)]
        said = json.dumps([self.of, sort, *values], ensure_ascii=False, separators=(",", ":"))
        return urlsafe_b64encode(said.encode()).decode().rstrip("=")

    def _place(self, sort: str, cursor: str) -> list[Any]:
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            of, of_sort, *values = json.loads(raw)
        except (ValueError, TypeError, RecursionError):
            raise _no_cursor("this is no cursor") from None
        if (of, of_sort) != (self.of, sort):
            raise _no_cursor("this is the cursor of another list, or of another sort")
        columns = self._columns(sort)
        try:
            return [_READ[_kind(c)](v) for c, v in zip(columns, values, strict=True)]
        except (ValueError, TypeError, AttributeError):
            raise _no_cursor("this is no cursor") from None


def _no_cursor(detail: str) -> Invalid:
    hint = "Give `next` of the page before, with the same sort, or begin without a cursor."
    return Invalid(detail, field="/cursor", hint=hint)


def _beyond(columns: Sequence[Any], place: Sequence[Any], *, back: bool) -> Any:
    """Return the condition of rows after *place*: one comparison of rows, which an index knows."""
    values = [Value(c.db_value(v), unpack=False) for c, v in zip(columns, place, strict=True)]
    here, there = EnclosedNodeList(list(columns)), EnclosedNodeList(values)
    return here < there if back else here > there


def _written(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not all(c.isprintable() for c in value):
        raise ValueError(value)
    return value.encode().decode()  # a lone surrogate raises ValueError


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise ValueError(value)
    return value


def _moment(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(value)
    return at


def _identifier(value: Any) -> UUID:
    return UUID(value)


_READ: Final[Mapping[type[Field], Callable[[Any], Any]]] = MappingProxyType(
    {
        UUIDField: _identifier,
        DateTimeTZField: _moment,
        IntegerField: _number,
        TextField: _text,
    }
)
"""How a value of a cursor is read again, by its column."""


def _kind(column: Any) -> type[Field]:
    return next(kind for kind in _READ if isinstance(column, kind))
