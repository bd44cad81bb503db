"""Answers written from documents: what a model would write, without building one for each row.

How is read from the model once, so that the contract stays the one place that says it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from edge.api.fields import Answer

Plain = dict[str, Any]
Write = Callable[[Any], Any]

_UTC: Final = "+00:00"


def writer(model: type[Answer], **own: Write) -> Callable[[Mapping[str, Any]], Plain]:
    """Return what writes a document as *model* would; *own* writes what it computes, by field."""
    fields = model.model_fields.items()
    must = [(name, field) for name, field in fields if field.is_required()]
    sources = [_source(name, field) for name, field in must]
    names = [field.serialization_alias or name for name, field in must]
    hows = [(alias, _write_of(own, *each)) for alias, each in zip(names, must, strict=True)]
    turned = [(alias, how) for alias, how in hows if how is not None]
    may = [
        (_source(name, field), field.serialization_alias or name, field.get_default())
        for name, field in fields
        if not field.is_required()
    ]

    def write(document: Mapping[str, Any]) -> Plain:
        plain: Plain = dict(zip(names, [document[each] for each in sources], strict=True))
        for alias, how in turned:
            plain[alias] = how(plain[alias])
        for source, alias, default in may:
            plain[alias] = document.get(source, default)
        return plain

    return write


def _source(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def _write_of(own: Mapping[str, Write], name: str, field: FieldInfo) -> Write | None:
    """Return how a field's value is written, None for as it is."""
    return own[name] if name in own else _by_type(field.annotation)


def _by_type(kind: Any) -> Write | None:
    if get_origin(kind) in {Union, UnionType}:
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
        inner = _by_type(kind)
        return None if inner is None else lambda value: None if value is None else inner(value)
    if get_origin(kind) is list:
        each = _by_type(get_args(kind)[0])
        return None if each is None else lambda values: [each(value) for value in values]
    if isinstance(kind, type) and issubclass(kind, Answer):
        return writer(kind)
    return _moment if kind is datetime else None


def _moment(text: str) -> str:
    """Return a moment of PostgreSQL's JSON, whose sessions are in UTC, as models write it.

    PostgreSQL leaves out the last digits of a second that are 0, and models write all or none.
    """
    second, point, fraction = text.removesuffix(_UTC).partition(".")
    return f"{second}.{fraction:0<6}Z" if point else f"{second}Z"
