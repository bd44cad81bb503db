"""How an operation is declared, its request read, and its answer written.

`operation` is the one decorator of /v1: it registers the route with its contract, reads body,
query and path strictly, borrows a database connection for the view, and names it for the audit.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_type_hints

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.response import Response as Documented
from flask_openapi.models.tag import Tag
from pydantic import BaseModel
from pydantic_core import to_json

from edge import access, conditions
from edge.api import document, reading, writing
from edge.api.fields import Page
from edge.auth import SAFE
from edge.refusals import recorded_as
from models.database import borrowed

_View = TypeVar("_View", bound=Callable[..., Response])


def resource(name: str, description: str, *ways: str) -> APIBlueprint:
    """Return the blueprint of one resource; *ways* in besides those of operators."""
    return APIBlueprint(
        name.replace(" ", "-"),
        __name__,
        abp_tags=[Tag(name=name, description=description)],
        abp_security=[{way: []} for way in ("bearer", "session", *ways)],
    )


def operation(
    api: APIBlueprint,
    method: str,
    rule: str,
    name: str,
    *,
    answer: type[BaseModel],
    status: HTTPStatus = HTTPStatus.OK,
    refuses: Sequence[str] = (),
    action: str,
    secret: bool = False,
    streamed: Documented | None = None,
    header: type[BaseModel] | None = None,
) -> Callable[[_View], _View]:
    """Declare a view.

    Args:
        api: the resource that it belongs to.
        method: "get", "post", "patch" or "delete".
        rule: Flask's URL rule.
        name: the operation's id in the contract.
        answer: the model of the answer.
        status: of the answer when all is well.
        refuses: codes of CATALOGUE that the domain may answer with.
        action: `resource.verb`, of roles and audit; `resource.read` for what only reads.
        secret: whether the answer holds what must not be kept for who asks again.
        streamed: what the contract says of the answer instead, when it is not *answer* as JSON.
        header: headers of the request that the view reads by itself.

    Raises LookupError when the declared view has no row in the tables of `edge.access`.
    """

    def declare(view: _View) -> _View:
        wanted = get_type_hints(view)
        access.check(action, getattr(wanted.get("path"), "model_fields", ()))
        read = wanted.keys() | ({"header"} if header is not None else frozenset())
        bears = _borne(method, answer)
        codes = {*document.EVERYWHERE, *refuses}.union(
            *(refused for part, refused in _READING.items() if part in read),
            _CONDITIONS.get(method, ()) if bears else (),
        )
        extra = {"request_body": document.sent(wanted["body"])} if "body" in wanted else {}
        good = streamed or document.told(answer, status)
        told = {str(status.value): good, **document.problems(codes)}
        register = getattr(api, method)
        shown = _once(_with(header, view), bears, secret=secret)
        register(rule, operation_id=name, responses=told, **extra)(
            recorded_as(action)(_reading(action, shown, wanted))
        )
        api.components_schemas.update(document.components(answer))
        if "body" in wanted:
            api.components_schemas.update(document.components(wanted["body"], "validation"))
        return view

    return declare


def answered(
    answer: BaseModel, status: HTTPStatus = HTTPStatus.OK, *, location: str = ""
) -> Response:
    """Return *answer* as JSON, and where what was made can be found."""
    body = answer.model_dump_json(by_alias=True)
    response = Response(body, status=status, mimetype="application/json")
    if status in document.TAGGED and not isinstance(answer, Page):
        response.headers["ETag"] = conditions.tag(answer, body)
    if location:
        response.headers["Location"] = location
    return response


def written(
    answer: writing.Plain, status: HTTPStatus = HTTPStatus.OK, *, location: str = ""
) -> Response:
    """Return *answer*, which a writer wrote, as `answered` does a model."""
    body = to_json(answer)
    response = Response(body, status=status, mimetype="application/json")
    if status in document.TAGGED and "version" in answer:
        response.headers["ETag"] = conditions.version_tag(answer["version"])
    if location:
        response.headers["Location"] = location
    return response


_READING: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "path": frozenset({"not-found", "validation"}),
        "query": frozenset({"validation", "invalid"}),
        "body": frozenset({"malformed", "validation", "too-large", "unsupported-media-type"}),
        "header": frozenset({"validation"}),
    }
)
"""What each part of a request may be refused with as it is read."""

_CONDITIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "post": frozenset({"idempotency-mismatch", "answer-not-kept", "validation"}),
        "patch": frozenset({"stale", "precondition-failed", "precondition-required", "validation"}),
        "delete": frozenset({"precondition-failed", "validation"}),
    }
)
"""What a method may be refused with for the headers that it bears."""


def _borne(method: str, answer: type[BaseModel]) -> type[BaseModel] | None:
    """Return the headers that an operation takes: conditions are of what has a version."""
    if method == "post":
        return conditions.Once
    versioned = method in _CONDITIONS and "version" in answer.model_fields
    return conditions.Unchanged if versioned else None


def _with(header: type[BaseModel] | None, view: _View) -> _View:
    """Return *view* as the contract shows it: with the headers that it reads by itself."""
    if header is None:
        return view

    @wraps(view)
    def shown(**given: Any) -> Response:
        return view(**given)

    shown.__annotations__ = {**view.__annotations__, "header": header}
    del shown.__wrapped__
    return shown  # type: ignore[return-value] # its signature


def _once(view: _View, bears: type[BaseModel] | None, *, secret: bool) -> _View:
    """Return *view* under the conditions that stand in the headers that it *bears*."""
    if bears is None:
        return view

    @wraps(view)
    def held(**given: Any) -> Response:
        asked = partial(view, **given)
        return (
            conditions.once(asked, secret=secret)
            if bears is conditions.Once
            else conditions.unchanged(asked)
        )

    held.__annotations__ = {**view.__annotations__, "header": bears}
    del held.__wrapped__
    return held  # type: ignore[return-value] # its signature


def _reading(
    action: str, view: Callable[..., Response], wanted: Mapping[str, Any]
) -> Callable[..., Response]:
    @wraps(view)
    def read(**path: str) -> Response:
        access.admit(action)
        given = _given(path, wanted)
        with borrowed():
            answer = view(**_judged(action, path, given))
        access.settle(action)
        return answer

    # flask-openapi then leaves reading to us: its own takes `false` for text, and builds the
    # schema of a query anew for each request.
    read.__delay_validate_request__ = True  # type: ignore[attr-defined] # its own flag
    return access.guard(read)


def _given(path: Mapping[str, str], wanted: Mapping[str, Any]) -> dict[str, BaseModel]:
    given: dict[str, BaseModel] = {}
    if "path" in wanted:
        given["path"] = reading.from_text(wanted["path"], path)
    if "query" in wanted:
        given["query"] = reading.from_text(wanted["query"], request.args.to_dict())
    if "body" in wanted:
        given["body"] = reading.from_body(wanted["body"])
    return given


def _judged(
    action: str, path: Mapping[str, str], given: dict[str, BaseModel]
) -> dict[str, BaseModel]:
    """Return *given* with each thing at a site by its id, if the caller may do *action* there."""
    judged = dict(given)
    if (found := access.narrowed(action, path)) != path:
        judged["path"] = reading.from_text(type(given["path"]), found)
    text = request.args.to_dict() if "query" in given else {}
    if (found := access.filtered(action, text)) != text:
        judged["query"] = reading.from_text(type(given["query"]), found)
    if "body" in given:
        access.within(action, given["body"])
    if request.method not in SAFE:
        access.settle(action, done=False)
    return judged
