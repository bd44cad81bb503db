"""What a person fills in: fields named by JSON pointers, read into the models of /v1.

So each fault that the API would tell stands at its field, and nothing is judged twice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from flask import Response, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from edge import auth, problems, refusals
from edge.api import reading
from edge.errors import Fault, Unreadable, status_of
from models.errors import DomainError, Forbidden, NotFound, Unknown

_Model = TypeVar("_Model", bound=BaseModel)

_DIGITS: Final = 50
_LISTS: Final = frozenset({"lines", "sums"})

TYPED: Final = "/confirm"
"""Where the host name is typed before something is destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field.  *kind*: text, number, check, secret, hidden, area, lines (a list), sums (SHA-256
    by path), pairs (name=value), or select with *options* (value, words).

    What is pasted where a secret's place is named may be the secret: it is never sent back.
    """

    pointer: str
    label: str
    kind: str = "text"
    value: str = ""
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()
    required: bool = False
    wrong: str = ""

    @property
    def id(self) -> str:
        """Return what the field is known by in its page."""
        return "f" + self.pointer.replace("/", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Fields, and what was wrong with none of them in particular."""

    fields: Sequence[Field]
    faults: Sequence[Fault] = ()

    @property
    def elsewhere(self) -> Sequence[Fault]:
        """Return the faults that stand at no field."""
        known = {field.pointer for field in self.fields}
        return [fault for fault in self.faults if fault.pointer not in known]

    @property
    def first(self) -> str:
        """Return the pointer of the field that the focus goes to: the first that is wrong."""
        return next((field.pointer for field in self.fields if field.wrong), "")

    def refused(self, faults: Sequence[Fault]) -> "Form":
        """Return the form as it was sent, each of *faults* at its field."""
        known = {field.pointer for field in self.fields}
        told = {
            _place(fault.pointer, known): f"{_begun(fault.detail)}. {fault.hint}"
            for fault in reversed(faults)
        }
        fields = [
            replace(
                field,
                value="" if field.kind == "secret" else request.form.get(field.pointer, ""),
                wrong=told.get(field.pointer, "").strip(),
            )
            for field in self.fields
        ]
        return Form(fields=fields, faults=faults)


def sent(fields: Sequence[Field], model: type[_Model], **fixed: Any) -> _Model:
    """Return what was filled in as *model*; what is empty was not said.  Raises Unreadable."""
    return reading.from_form(model, {**_body(fields), **fixed})


def sent_whole(fields: Sequence[Field], model: type[_Model]) -> _Model:
    """Return the same for what is changed: a list that is empty is said to be so."""
    empty = {each.pointer[1:]: _value(each, "") for each in fields if each.kind in _LISTS}
    return reading.from_form(model, {**empty, **_body(fields)})


def _body(fields: Sequence[Field]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field in fields:
        word = request.form.get(field.pointer, "").strip()
        if word and field.pointer != TYPED:
            _put(body, field.pointer.split("/")[1:], _value(field, word))
    return body


def answered(
    template: str, form: Form, ask: Callable[[], Response], to: Callable[[str], str], **more: Any
) -> ResponseReturnValue:
    """Return where *ask* leads, or the page again with what is wrong.

    *to* turns the id of what was made into a URL.  Raises NotFound: the form would be of no use.
    """
    try:
        made = ask().headers["Location"].rpartition("/")[2]
    except (DomainError, Unreadable) as exc:
        if isinstance(exc, NotFound) and not isinstance(exc, Unknown):
            raise
        return _refused(template, form, exc, more)
    return Response(status=303, headers={"Location": to(made)})


def shown(template: str, form: Form, **more: Any) -> str:
    """Return the page of *form*."""
    return render_template(template, form=form, csrf=auth.csrf_token(), **more)


def demand_typed(name: str, what: str) -> None:
    """Return if *name*, its *what*, was typed to confirm.  Raises Unreadable."""
    if (wrong := _wrong(name, what)) is not None:
        raise Unreadable(wrong.detail, [wrong])


def _wrong(name: str, what: str) -> Fault | None:
    if request.form.get(TYPED, "").strip().lower() == name.lower():
        return None
    return Fault(TYPED, f"This is not its {what}", f"Type {name}, to be sure that it is it.")


def _refused(
    template: str, form: Form, exc: DomainError | Unreadable, more: Mapping[str, Any]
) -> ResponseReturnValue:
    faults = exc.faults if isinstance(exc, Unreadable) else faults_of(exc)
    if isinstance(exc, Forbidden):
        problems.kept(exc)
    status = status_of(type(exc))
    refusals.record(code=exc.code, status=status, pointers=[fault.pointer for fault in faults])
    return shown(template, form.refused(faults), **more), status


def faults_of(exc: DomainError) -> Sequence[Fault]:
    """Return what *exc* says is wrong, each at its place."""
    return [Fault(each.field, str(each), each.hint) for each in (exc, *exc.also)]


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _value(field: Field, word: str) -> Any:
    return _READ.get(field.kind, str)(word)


def _number(word: str) -> int | str:
    """Return a number, or what is none, or is longer than any: that is for /v1 to refuse."""
    return int(word) if word.isdecimal() and len(word) <= _DIGITS else word


def _area(word: str) -> str:
    return "\n".join(word.splitlines()) + "\n"


def _lines(word: str) -> list[str]:
    return [line.strip() for line in word.splitlines() if line.strip()]


def _pairs(word: str) -> dict[str, str]:
    parts = (line.partition("=") for line in _lines(word))
    return {name: value for name, _, value in parts}


def _sums(word: str) -> dict[str, str]:
    """Return SHA-256 by path, of what sha256sum prints; what is odd is for /v1 to refuse."""
    found = {}
    for line in _lines(word):
        sha256, _, path = line.partition(" ")
        found[path.strip().removeprefix("*") or line] = sha256.lower()
    return found


_READ: Final[Mapping[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "check": bool,
        "number": _number,
        "hidden": _number,
        "area": _area,
        "lines": _lines,
        "pairs": _pairs,
        "sums": _sums,
    }
)
"""How what was filled in is read, by the field's kind; other kinds are text."""


def _place(pointer: str, known: Collection[str]) -> str:
    """Return the field at which a fault stands: its own, or that of the list that it is in."""
    while pointer and pointer not in known:
        pointer = pointer.rpartition("/")[0]
    return pointer


def _put(into: Any, path: Sequence[str], value: Any) -> None:
    """Put *value* into a body at *path*; a number is a place in a list."""
    name, *rest = path
    if not rest:
        into[name] = value
    elif rest[0].isdecimal():
        row = into.setdefault(name, [{}])[0]
        _put(row, rest[1:], value)
    else:
        _put(into.setdefault(name, {}), rest, value)
