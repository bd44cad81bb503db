"""What the contract says of the pages that stand in it beside the API; others may move."""

from types import MappingProxyType
from typing import Any, Final

from flask_openapi.models.header import Header
from flask_openapi.models.media_type import MediaType
from flask_openapi.models.operation import Operation
from flask_openapi.models.path_item import PathItem
from flask_openapi.models.response import Response as Documented
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI

from edge.api import document

_TAG: Final = "pages"
_UUID: Final = MappingProxyType({"type": "string", "format": "uuid"})
_TEXT: Final = MappingProxyType({"type": "string", "minLength": 1, "maxLength": 255})

_PAGES: Final = (
    ("/", "showFleet", "Look at all machines and hosts, live.", ()),
    ("/hosts/{host}", "showHost", "Look at one host, live.", (("host", "Its id or name.", _TEXT),)),
    (
        "/ops/{workflow}",
        "showOperation",
        "Look at one operation: how long it takes, what was seen of it; it can be cancelled there.",
        (("workflow", "The operation's id.", _UUID),),
    ),
)
"""Path, operation id, summary, and the parts of the path: name, meaning, form."""


def install(app: OpenAPI) -> None:
    """Put the pages, which are routes of *app*, into its contract."""
    app.tags.append(Tag(name=_TAG, description="Pages for people, in HTML."))
    for path, name, summary, parts in _PAGES:
        page = Operation.model_validate(
            {
                "tags": [_TAG],
                "summary": summary,
                "operationId": name,
                "parameters": [_part(*each) for each in parts] or None,
                "responses": _answers(has_parts=bool(parts)),
                "security": [{way: []} for way in ("bearer", "session")],
            }
        )
        app.paths[path] = PathItem(get=page)


def _part(name: str, meaning: str, form: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": meaning,
        "schema": dict(form),
    }


_LACKS: Final = MappingProxyType({True: ("not-found",), False: ()})


def _answers(*, has_parts: bool) -> dict[str, Documented]:
    """Return what a page is answered with; a problem is a small page to whoever wants HTML."""
    shown = MediaType.model_validate({"schema": {"type": "string"}, "example": "<!doctype html>"})
    where = {"description": "Where a browser signs in.", "schema": {"type": "string"}}
    return {
        "200": Documented(description="The page.", content={"text/html; charset=utf-8": shown}),
        "303": Documented(
            description="Who asks is a person, and not signed in.",
            headers={"Location": Header.model_validate(where)},
        ),
        **document.problems({*document.EVERYWHERE, "validation", *_LACKS[has_parts]}),
    }
