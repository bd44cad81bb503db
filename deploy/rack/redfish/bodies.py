"""What a client sends, parsed whole or refused with the name of what is wrong."""

import json
from enum import StrEnum
from typing import Any, TypeVar

from deploy.rack.redfish.messages import Refused
from deploy.rack.redfish.shapes import Resource

E = TypeVar("E", bound=StrEnum)


def parse(body: bytes) -> dict[str, Any]:
    """Return the object in *body*, or raise Refused."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("MalformedJSON") from None
    if not isinstance(value, dict):
        raise Refused("UnrecognizedRequestBody")
    return value


def only_writable(body: Resource, resource: Resource, *names: str) -> None:
    """Raise Refused unless *body* sets some of *names* of the *resource* and nothing else."""
    if not body:
        raise Refused("NoOperation")
    for name in body:
        if name not in names:
            raise Refused("PropertyNotWritable" if name in resource else "PropertyUnknown", name)


def inner(body: Resource, name: str) -> dict[str, Any]:
    """Return the object under *name*, or raise Refused."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise Refused("PropertyValueTypeError", json.dumps(value), name)
    return value


def text(body: Resource, name: str) -> str:
    """Return the string under *name*, or raise Refused."""
    if name not in body:
        raise Refused("PropertyMissing", name)
    value = body[name]
    if not isinstance(value, str):
        raise Refused("PropertyValueTypeError", json.dumps(value), name)
    return value


def number(body: Resource, name: str, lowest: int, highest: int) -> int:
    """Return the whole number under *name*, within its bounds, or raise Refused."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused("PropertyValueTypeError", json.dumps(value), name)
    if not lowest <= value <= highest:
        raise Refused("PropertyValueOutOfRange", str(value), name)
    return value


def choice(body: Resource, name: str, allowed: tuple[E, ...]) -> E | None:
    """Return the member of *allowed* under *name*, None when it is not set, or raise Refused."""
    if name not in body:
        return None
    value = text(body, name)
    for member in allowed:
        if member == value:
            return member
    raise Refused("PropertyValueNotInList", value, name)


def address(body: Resource, action: str, name: str) -> str:
    """Return the one parameter of an action, a URL, or raise Refused."""
    for other in body:
        if other != name:
            raise Refused("ActionParameterUnknown", action, other)
    if name not in body:
        raise Refused("ActionParameterMissing", action, name)
    value = body[name]
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise Refused("ActionParameterValueFormatError", json.dumps(value), name, action)
    return value


def parameter(body: Resource, action: str, name: str, allowed: type[E]) -> E:
    """Return the one parameter of an action, or raise Refused."""
    for other in body:
        if other != name:
            raise Refused("ActionParameterUnknown", action, other)
    if name not in body:
        raise Refused("ActionParameterMissing", action, name)
    try:
        return allowed(body[name])
    except ValueError:
        shown = str(body[name])
        raise Refused("ActionParameterValueNotInList", shown, name, action) from None
