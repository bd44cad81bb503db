"""The kinds of values in bodies and queries, and the two kinds of models made of them.

Each text is bounded and holds no control characters, which PostgreSQL and terminals choke on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, get_args

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from config.secrets import PATTERN, BadReference, Reference
from models.paging import LIMIT, Ask, Order, Part

_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
_PRINTABLE_LINES: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_PRINTABLE)]
"""One line that says something."""

Word = Annotated[str, StringConstraints(max_length=255, pattern=_PRINTABLE)]
"""One line that may be empty."""


def _written(pattern: str, most: int, shown: str) -> Any:
    """Return the form of a name for the contract; the domain judges it, with a better hint."""
    schema: dict[str, Any] = {"pattern": pattern, "maxLength": most}
    return Field(examples=[shown], json_schema_extra=schema)


_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

Slug = Annotated[Line, _written("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", 40, "ams-1")]
Ref = Annotated[Line, _written("^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$", 100, "debian-12")]
HostName = Annotated[
    Line, _written(f"^{_LABEL}(\\.{_LABEL})*$".replace("a-z", "A-Za-z"), 253, "node-01")
]
MacAddress = Annotated[
    Line,
    _written("^[0-9A-Fa-f][02468ACEace]([:-]?[0-9A-Fa-f]{2}){5}$", 17, "52:54:00:12:34:56"),
]
RelativePath = Annotated[
    Line,
    _written("^[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*$", 255, "debian-12/vmlinuz"),
]
Cidr = Annotated[Line, _written(r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$", 18, "10.77.0.0/24")]
Address = Annotated[Line, _written(r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$", 15, "10.77.0.10")]

Reason = Annotated[
    str,
    StringConstraints(max_length=1000, pattern=_PRINTABLE),
    Field(description="Why it is asked; kept in the audit.", examples=["rack 4 is new"]),
]

Document = Annotated[
    str, StringConstraints(min_length=1, max_length=131_072, pattern=_PRINTABLE_LINES)
]
"""Several lines."""

CLOSED: Final[Mapping[str, Any]] = {"additionalProperties": False}
"""Of an object whose names have a form, for the contract: no other is taken."""

Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=_PRINTABLE)],
        Annotated[str, StringConstraints(max_length=255, pattern=_PRINTABLE)],
    ],
    Field(
        max_length=64,
        description="Free words to select by.",
        examples=[{"role": "worker"}],
        json_schema_extra=CLOSED,
    ),
]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal digits."""


def _whole(value: Any) -> Any:
    # 3.0 is an integer to JSON Schema (draft 2020-12, section 6.1.1), and none to strict pydantic.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
"""Marks a whole number, however JSON writes it; last, so that its bounds stay in the contract."""

Int32 = Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
Int64 = Annotated[int, Field(ge=1, le=2**63 - 1), WHOLE]
Limit = Annotated[int, Field(ge=1, le=500, description="Rows of one page at most.")]


def _reference(value: str) -> str:
    try:
        return str(Reference.parse(value))
    except BadReference as exc:
        # The value is not repeated: it may be the password itself.
        raise ValueError(str(exc)) from None


SecretRef = Annotated[
    Line,
    AfterValidator(_reference),
    Field(
        description="Where the password is kept: env:NAME or vault:PATH#KEY; never itself.",
        examples=["env:BMC_PASSWORD"],
        json_schema_extra={"pattern": PATTERN},
    ),
]


class Body(BaseModel):
    """What a caller sends: camelCase, strict, and nothing that is not declared."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
    )


class Change(Body):
    """What is to change; a field that is left out stays.

    Fields that may not be null have factories, not defaults: the contract would promise those.
    """

    version: Annotated[
        Int32 | None,
        Field(description="Of the record as you read it; left out where If-Match says so."),
    ] = None

    def asked(self) -> dict[str, Any]:
        """Return the fields that were given, and are to change."""
        return self.model_dump(include=self.model_fields_set - {"version"})


class Query(BaseModel):
    """What stands behind `?`: text, turned into what the field is."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class SortOf:
    """Marks the `sort` of a list: one of the words of its order."""

    order: Order

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Return what accepts those words alone."""
        return core_schema.literal_schema(list(self.order.words))


Cursor = Annotated[
    str,
    StringConstraints(max_length=2048, pattern=r"^[A-Za-z0-9_-]*$"),
    Field(description="`next` of the page before, asked with the same sort."),
]


class Listing(Query):
    """What every list is asked with; each adds `sort`, by SortOf, and what narrows it."""

    limit: Limit = LIMIT
    cursor: Cursor = ""
    sort: str

    def ask(self) -> Ask:
        """Return the part of the list that is asked for."""
        return Ask(self.sort, self.cursor, self.limit)


class Path(BaseModel):
    """What stands in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """What a caller gets: read from a view by its names, written in camelCase."""

    model_config = ConfigDict(
        from_attributes=True,
        frozen=True,
        alias_generator=AliasGenerator(serialization_alias=to_camel),
    )

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows *view*."""
        return cls.model_validate(view)


class Page(Answer):
    """A part of a list: `next` is the cursor of what follows, null at the end."""

    next: str | None = None

    @classmethod
    def showing(cls, part: Part[Any], **more: Any) -> Self:
        """Return the answer that shows *part*, each row by the model of `items`."""
        (item,) = get_args(cls.model_fields["items"].annotation)
        return cls(items=[item.of(row) for row in part], next=part.next, **more)


def example(value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts *value* into a model's schema as its example."""

    def put(schema: dict[str, Any]) -> None:
        schema["examples"] = [value]

    return put


def either(form: Mapping[str, Any], *names: str) -> Callable[[dict[str, Any]], None]:
    """Return what has a model's schema demand one of *names*, of this *form*."""

    def put(schema: dict[str, Any]) -> None:
        schema["anyOf"] = [{"required": [n], "properties": {n: dict(form)}} for n in names]

    return put
