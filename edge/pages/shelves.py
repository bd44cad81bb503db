"""Images and profiles: what machines are given, entered, changed and forgotten by forms."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.pages import forms, frame, listing
from edge.pages.catalogue import SHELVES, Shelf, value
from edge.pages.forms import Field, Form
from models import lists
from models.paging import Ask

MOST: Final = 500
"""Artifacts that a form offers."""

blueprint: Final = Blueprint("shelves", __name__)


def _index(shelf: Shelf) -> ResponseReturnValue:
    wanted = listing.wanted(shelf.filter, f"{shelf.kind}.read")
    query = wanted.query
    found = shelf.found(search=query.search, ask=query.ask())
    return render_template(
        "shelf.html",
        shelf=shelf,
        wanted=wanted,
        rows=found,
        following=wanted.after(found.next),
        may_create=may(f"{shelf.kind}.create"),
        commands=frame.commands(f"/v1/{shelf.plural}", f"sprout {shelf.plural} list", wanted.given),
    )


def _create(shelf: Shelf) -> ResponseReturnValue:
    fields = [_offering(each) for each in shelf.fields]
    form = Form(fields=fields)
    more = {
        "title": f"New {shelf.kind}",
        "crumbs": ((shelf.plural.capitalize(), _at(shelf)),),
        "what": shelf.what,
        "button": f"Create {shelf.kind}",
        "commands": frame.commands(f"/v1/{shelf.plural}", f"sprout {shelf.plural} create --help"),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        answer: Response = shelf.views.create(forms.sent(fields, shelf.new))
        return answer

    return forms.answered("new.html", form, ask, lambda made: _at(shelf, made), **more)


def _offering(field: Field) -> Field:
    if field.pointer != "/artifactRef":
        return field
    known = lists.artifacts(ask=Ask(limit=MOST))
    hint = field.hint if known else "There is none yet: sprout artifacts create"
    options = [(each.ref, f"{each.name} ({each.ref})") for each in known]
    return replace(field, options=options, hint=hint)


def _show(shelf: Shelf, ref: str) -> ResponseReturnValue:
    return _item(shelf, ref, None)


def _change(shelf: Shelf, ref: str) -> ResponseReturnValue:
    def ask(fields: Sequence[Field]) -> Response:
        body = forms.sent_whole(fields, shelf.changed)
        shelf.views.update(shelf.ref(**{shelf.kind: ref}), body)
        return Response(headers={"Location": f"/{ref}"})

    return _item(shelf, ref, ask)


def _item(
    shelf: Shelf, ref: str, ask: Callable[[Sequence[Field]], Response] | None
) -> ResponseReturnValue:
    """Show one record, or what came of *ask*, which is given its fields."""
    view = shelf.one(ref)
    own = [each for each in shelf.fields if each.pointer not in shelf.fixed]
    version = Field(pointer="/version", label="Version", kind="hidden", value=str(view.version))
    fields = [version, *(replace(each, value=value(view, each)) for each in own)]
    path = f"/v1/{shelf.plural}/{view.ref}"
    more = {
        "shelf": shelf,
        "view": view,
        "fixed": [
            (each.label, value(view, each)) for each in shelf.fields if each.pointer in shelf.fixed
        ],
        "may_update": may(f"{shelf.kind}.update"),
        "may_delete": may(f"{shelf.kind}.delete"),
        "commands": frame.commands(path, f"sprout {shelf.plural} show {view.ref}"),
    }
    form = Form(fields=fields)
    if ask is None:
        return forms.shown("item.html", form, **more)
    return forms.answered(
        "item.html", form, lambda: ask(fields), lambda made: _at(shelf, made), **more
    )


def _delete(shelf: Shelf, ref: str) -> ResponseReturnValue:
    view = shelf.one(ref)
    typed = Field(pointer=forms.TYPED, label="Its reference, to be sure", required=True)
    more = {
        "title": f"Forget {view.ref}?",
        "crumbs": (
            (shelf.plural.capitalize(), _at(shelf)),
            (view.ref, _at(shelf, view.ref)),
        ),
        "what": f"The {shelf.kind} is forgotten, if no machine has it; files stay.",
        "button": f"Forget {view.ref}",
        "commands": frame.commands(
            f"/v1/{shelf.plural}/{view.ref}", f"sprout {shelf.plural} delete {view.ref}"
        ),
    }
    form = Form(fields=[typed])
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        forms.demand_typed(view.ref, "reference")
        shelf.views.delete(shelf.ref(**{shelf.kind: str(view.id)}))
        return Response(headers={"Location": "/"})

    return forms.answered("new.html", form, ask, lambda _: _at(shelf), **more)


def _at(shelf: Shelf, ref: str = "") -> str:
    if not ref:
        return url_for(f"shelves.{shelf.plural}")
    at: dict[str, Any] = {shelf.kind: ref}
    return url_for(f"shelves.{shelf.kind}", **at)


def _served(shelf: Shelf) -> None:
    """Serve the pages of *shelf*: each judged as its route of /v1 is."""
    kind, plural = shelf.kind, shelf.plural
    one = f"/{plural}/<{kind}>"
    gone = f"{one}/delete"
    routes: tuple[tuple[str, str, str, str, Callable[..., ResponseReturnValue]], ...] = (
        (plural, f"/{plural}", "GET", "read", lambda: _index(shelf)),
        (f"new_{kind}", f"/new-{kind}", "GET", "create", lambda: _create(shelf)),
        (f"create_{kind}", f"/new-{kind}", "POST", "create", lambda: _create(shelf)),
        (kind, one, "GET", "read", lambda **at: _show(shelf, at[kind])),
        (f"change_{kind}", one, "POST", "update", lambda **at: _change(shelf, at[kind])),
        (f"ask_{kind}", f"{one}/delete", "GET", "delete", lambda **at: _delete(shelf, at[kind])),
        (
            f"delete_{kind}",
            gone,
            "POST",
            "delete",
            lambda **at: _delete(shelf, at[kind]),
        ),
    )
    for name, rule, method, action, view in routes:
        blueprint.add_url_rule(rule, name, does(f"{kind}.{action}")(view), methods=[method])


for _shelf in SHELVES:
    _served(_shelf)
