"""Commands that come by message: their form, as a table and as the JSON Schema made of it."""

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from models.errors import Invalid
from models.remote_commands import MOST_S

VERSION: Final = 1
LONGEST: Final = 256
"""Characters of any text in a command."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a command is about, and its parameters: which it needs, and which it may have.

    Of *either* it needs one, and has no other.
    """

    target: str = "machine"
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    either: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Return every parameter that it can have."""
        return (*self.needs, *self.either, *self.may)


def _verb(*needs: str, may: tuple[str, ...] = (), either: tuple[str, ...] = ()) -> Form:
    """Return the form of a verb on a machine: each may name the approval that it rests on."""
    return Form(needs=needs, may=(*may, "approvalId"), either=either)


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "machine.commission": _verb(may=("inventory",)),
        "machine.provision": _verb("imageRef", "profileRef", may=("networkId",)),
        "machine.reprovision": _verb(may=("imageRef", "profileRef", "networkId")),
        "machine.image": _verb(either=("mediaUrl", "eject"), may=("bootSource",)),
        "machine.power-on": _verb(),
        "machine.power-off": _verb(),
        "machine.reboot": _verb(),
        "machine.boot-source": _verb("bootSource", may=("persistent", "httpBootUri")),
        "machine.remote-task": _verb("command", may=("timeLimitS",)),
        "machine.release": _verb(may=("wipe", "disks")),
        "machine.retire": _verb(),
        "machine.maintenance": _verb(),
        "machine.resume": _verb(),
        "machine.clear": _verb(),
        "machine.deallocate": _verb(),
        "workflow.cancel": Form(target="workflow"),
    }
)


@dataclass(frozen=True, slots=True)
class _Type:
    """What a parameter is, in words and as the schema has it, and whether a value is that."""

    words: str
    schema: Mapping[str, Any]
    good: Callable[[Any], bool]


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 1 <= value <= MOST_S and value == int(value)


_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": LONGEST}
_TYPES: Final[Mapping[str, _Type]] = MappingProxyType(
    {
        "persistent": _Type(
            "true or false", {"type": "boolean"}, lambda value: isinstance(value, bool)
        ),
        "eject": _Type("true, or not there", {"const": True}, lambda value: value is True),
        "timeLimitS": _Type(
            f"a whole number from 1 to {MOST_S}",
            {"type": "integer", "minimum": 1, "maximum": MOST_S},
            _is_time,
        ),
    }
)
"""Parameters that are no texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command as it was understood; *target* is an id or a host name."""

    verb: str
    target: str
    reason: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


def read(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in *body*.  Raises Invalid for what cannot be read in one way only."""
    try:
        found = json.loads(body, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"not JSON: {type(exc).__name__}") from exc
    if not isinstance(found, dict):
        raise Invalid("not a JSON object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a name stands twice in one JSON object")
    return found


def _no_number(name: str) -> Any:
    raise Invalid(f"{name} is no number of JSON")


def shown(text: str) -> str:
    """Return a stranger's *text* fit for a row, a log and an answer: printable, and not long."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:LONGEST])


def parse(body: Mapping[str, Any]) -> Command:
    """Return the command that *body* is.  Raises Invalid with the field that is wrong."""
    if body.get("v") != VERSION or isinstance(body.get("v"), bool):
        raise Invalid(
            f"version {reprlib.repr(body.get('v'))} is not spoken here", field="/v", hint="Want 1."
        )
    verb = body.get("command")
    form = FORMS.get(verb) if isinstance(verb, str) else None
    if form is None or not isinstance(verb, str):
        raise Invalid("no such command", field="/command", hint=f"One of {', '.join(FORMS)}.")
    extra = set(body) - {"v", "command", form.target, "params", "reason"}
    if extra:
        raise Invalid("the command has fields that it must not have", field=f"/{shown(min(extra))}")
    return Command(
        verb=verb,
        target=_text(body.get(form.target), f"/{form.target}"),
        reason=_text(body.get("reason", ""), "/reason", empty=True),
        params=_params(form, body.get("params", {})),
    )


def _params(form: Form, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid("params is no object", field="/params")
    for name in form.needs:
        if name not in given:
            raise Invalid(f"{name} is missing", field=f"/params/{name}")
    if form.either and len(given.keys() & set(form.either)) != 1:
        raise Invalid(f"want one of {' and '.join(form.either)}", field="/params")
    for name in given:
        if name not in form.all:
            raise Invalid(f"{name[:64]!r} is no parameter of it", field="/params")
    return {name: _value(name, value) for name, value in given.items()}


def _value(name: str, value: Any) -> Any:
    kind = _TYPES.get(name)
    if kind is None:
        return _text(value, f"/params/{name}")
    if not kind.good(value):
        raise Invalid(f"{name} is {kind.words}", field=f"/params/{name}")
    return value


def _text(value: Any, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not (value or empty):
        raise Invalid(f"want a text of 1 to {LONGEST} characters", field=where)
    if not value.isprintable():
        raise Invalid("the text holds what cannot be printed", field=where)
    return value


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A command to Sprout by message, on the queue sprout.automation",
        "oneOf": [_schema_of(verb, form) for verb, form in FORMS.items()],
    }


def _schema_of(verb: str, form: Form) -> dict[str, Any]:
    params = {n: dict(_TYPES[n].schema if n in _TYPES else _TEXT) for n in form.all}
    required = ["v", "command", form.target, *(["params"] if form.needs or form.either else [])]
    either = {"oneOf": [{"required": [name]} for name in form.either]} if form.either else {}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": {
            "v": {"const": VERSION},
            "command": {"const": verb},
            form.target: dict(_TEXT),
            "reason": {"type": "string", "maxLength": LONGEST},
            "params": {
                "type": "object",
                "additionalProperties": False,
                "required": list(form.needs),
                "properties": params,
                **either,
            },
        },
    }
