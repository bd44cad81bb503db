"""A request is read whole, or refused with every fault at its place."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge.errors import Fault, Malformed, NotJson, Unreadable

_Model = TypeVar("_Model", bound=BaseModel)

_MOST: Final = 50
"""Faults that are told; who has more has another problem."""

_HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "Add it.",
        "extra_forbidden": "Remove it, or correct its spelling.",
        "string_type": "Write it as text, between quotes.",
        "string_too_short": "It must not be empty.",
        "string_too_long": "Shorten it.",
        "string_pattern_mismatch": "Correct its form; control characters are not accepted.",
        "int_type": "Write it as a whole number, without quotes.",
        "bool_type": "Write true or false, without quotes.",
        "list_type": "Write a list, between brackets.",
        "dict_type": "Write an object, between braces.",
        "model_type": "Write an object, between braces.",
        "model_attributes_type": "Write an object, between braces.",
        "uuid_parsing": "Give an id, such as a list of the collection shows.",
        "uuid_type": "Give an id as text.",
        "literal_error": "Use one of the words that are named.",
        "enum": "Use one of the words that are named.",
    }
)
"""What to do about a fault, by pydantic's word for it."""


def from_body(model: type[_Model]) -> _Model:
    """Return the request's JSON body as *model*; an absent body counts as {}.

    Raises NotJson, Malformed or Unreadable.
    """
    raw = request.get_data(cache=True)
    if raw and request.mimetype != "application/json":
        raise NotJson(f"the body is {request.mimetype or 'of no type'}, not application/json")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as exc:
        raise _refused(exc.errors(include_url=False, include_context=False)) from None


def from_part(model: type[_Model], values: Mapping[str, Any], place: str) -> _Model:
    """Return the part of a body that stands at the pointer *place*, as *model*.

    Raises Unreadable.
    """
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False)
        raise _refused([{**each, "loc": (place, *each["loc"])} for each in found]) from None


def from_form(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Return what a form was filled with as *model*.  Raises Unreadable."""
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as exc:
        raise _refused(exc.errors(include_url=False, include_context=False)) from None


def from_text(model: type[_Model], values: Mapping[str, str]) -> _Model:
    """Return the path's or query's *values* as *model*.  Raises Unreadable."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as exc:
        raise _refused(exc.errors(include_url=False, include_context=False)) from None


def pointer(place: Sequence[int | str]) -> str:
    """Return *place* as a JSON pointer (RFC 6901, section 3)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def _refused(errors: Sequence[ErrorDetails]) -> Malformed | Unreadable:
    if any(error["type"] == "json_invalid" for error in errors):
        return Malformed(errors[0]["msg"])
    faults = tuple(map(_fault, errors[:_MOST]))
    return Unreadable(f"{faults[0].pointer or 'the request'}: {faults[0].detail}", faults)


def _fault(error: ErrorDetails) -> Fault:
    detail: Any = error["msg"].removeprefix("Value error, ")
    hint = _HINTS.get(error["type"], "The documented form is in /v1/openapi.json.")
    return Fault(pointer(error["loc"]), f"{detail[:1].lower()}{detail[1:]}", hint)
