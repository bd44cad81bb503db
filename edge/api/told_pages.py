"""Pages whose URLs the contract promises: `edge.pages` serves them, here they are told of."""

from http import HTTPStatus
from typing import Any, Final

from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.operation import Operation
from flask_openapi.models.path_item import PathItem
from flask_openapi.models.tag import Tag

from edge.api import document

_TAG: Final = Tag(name="pages", description="What a browser shows of hosts, and keeps live.")

api: Final = APIBlueprint("told-pages", __name__)
api.tags.append(_TAG)

_ID: Final = {"type": "string", "format": "uuid"}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255}

_HTML: Final[dict[str, Any]] = {
    "description": "A page.",
    "content": {
        "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>\n<html lang=en>…"}
    },
}


def _told(path: str, name: str, summary: str, *parameters: dict[str, Any]) -> None:
    """Tell of the page at *path*.  Programs are told its errors as problems."""
    lacking = ("not-found",) if parameters else ()
    codes = {*document.EVERYWHERE, "validation", *lacking}
    answers: dict[str, Any] = {str(HTTPStatus.OK.value): _HTML, **document.problems(codes)}
    api.paths[path] = PathItem(
        get=Operation(
            tags=[_TAG.name],
            summary=summary,
            operationId=name,
            parameters=parameters or None,
            responses=answers,
            security=[{"bearer": []}, {"session": []}],
        )
    )


def _part(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


_told("/", "showDashboard", "Show all hosts and machines as tiles, by state.")
_told(
    "/hosts/{host}",
    "showHostPage",
    "Show a host: what it waits for, its boot, its operations.",
    _part("host", "The host's id or name.", _NAME),
)
_told(
    "/ops/{workflow}",
    "showOperationPage",
    "Show an operation: how long it takes, what was seen, the way to cancel it.",
    _part("workflow", "The operation's id.", _ID),
)
