"""What the contract (OpenAPI 3.1) says of bodies, answers and problems."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from flask_openapi.models import OPENAPI3_REF_PREFIX
from flask_openapi.models.example import Example
from flask_openapi.models.header import Header
from flask_openapi.models.media_type import MediaType
from flask_openapi.models.request_body import RequestBody
from flask_openapi.models.response import Response as Documented
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.utils import get_model_schema
from pydantic import BaseModel, ConfigDict, Field

from edge.api.fields import Page, example
from edge.errors import CATALOGUE
from edge.problems import MEDIA_TYPE
from models import blobs

SECURITY: Final[Mapping[str, SecurityScheme]] = MappingProxyType(
    {
        "bearer": SecurityScheme(type="http", scheme="bearer"),
        "session": SecurityScheme(type="apiKey", name="sprout_session", **{"in": "cookie"}),
        "right": SecurityScheme(type="apiKey", name=blobs.QUERY, **{"in": "query"}),
    }
)

_Mode = Literal["validation", "serialization"]

EVERYWHERE: Final = ("unauthenticated", "csrf", "wrong-host", "internal", "unavailable")
"""Codes that any operation may answer with."""

TAGGED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
"""Statuses of answers that show a thing as it is, with its ETag."""

EXAMPLE_REQUEST_ID: Final = "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f"


class Fault(BaseModel):
    """What is wrong at one place of the request."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body, or the parameter.")
    detail: str
    hint: str = Field(description="What to do about it; may be empty.")


class Problem(BaseModel):
    """An error (RFC 9457); each type is documented at its own URL."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "type": "/problems/taken",
                "title": CATALOGUE["taken"].title,
                "status": 409,
                "detail": "another site has this slug",
                "errors": [
                    {
                        "pointer": "/slug",
                        "detail": "another site has this slug",
                        "hint": "Choose another, or use the one that exists.",
                    }
                ],
                "requestId": EXAMPLE_REQUEST_ID,
            }
        ),
    )

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault]
    request_id: str = Field(alias="requestId")
    policy_decision_id: str | None = Field(
        default=None, alias="policyDecisionId", description="The policy decision that refused it."
    )


def sent(body: type[BaseModel]) -> RequestBody:
    """Return what the contract says of a request's body."""
    # A form that wants one of several fields wants a body, though it demands none of them by name.
    choice = "oneOf" in body.model_json_schema()
    required = choice or any(field.is_required() for field in body.model_fields.values())
    content = MediaType.model_validate({"schema": _reference(body), "example": _example(body)})
    return RequestBody(content={"application/json": content}, required=required)


def told(answer: type[BaseModel], status: HTTPStatus) -> Documented:
    """Return what the contract says of a good answer."""
    content = MediaType.model_validate({"schema": _reference(answer), "example": _example(answer)})
    headers = {"X-Request-Id": _header("The id of this exchange, in logs and audit too.")}
    if status in TAGGED and not issubclass(answer, Page):
        headers["ETag"] = _header("Tells whether it was changed; for If-Match.")
    if status in {HTTPStatus.CREATED, HTTPStatus.ACCEPTED}:
        headers["Location"] = _header("Where to look at what was made or begun.")
    return Documented(
        description=status.phrase, headers=headers, content={"application/json": content}
    )


def problems(codes: Collection[str]) -> dict[str, Documented]:
    """Return what the contract says of *codes* of CATALOGUE, by status.

    Each refers to one of `problem_responses`, which is written once.
    """
    return {
        str(status): Documented.model_validate(
            {
                "$ref": f"#/components/responses/Problem{status}",
                "description": " ".join(f"{code}: {CATALOGUE[code].title}." for code in found),
            }
        )
        for status, found in _by_status(codes).items()
    }


def problem_responses() -> dict[str, Documented]:
    """Return the components that `problems` refers to: one for each status."""
    return {f"Problem{status}": _problem(found) for status, found in _by_status(CATALOGUE).items()}


def _by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in sorted(codes):
        found.setdefault(CATALOGUE[code].status.value, []).append(code)
    return dict(sorted(found.items()))


def _problem(codes: Sequence[str]) -> Documented:
    examples = {code: Example(summary=CATALOGUE[code].title, value=_shown(code)) for code in codes}
    content = MediaType.model_validate(
        {"schema": {"$ref": f"{OPENAPI3_REF_PREFIX}/Problem"}, "examples": examples}
    )
    return Documented(
        description=CATALOGUE[codes[0]].status.phrase,
        headers={"X-Request-Id": _header("The id of this exchange, in logs and audit too.")},
        content={MEDIA_TYPE: content},
    )


def _shown(code: str) -> dict[str, Any]:
    return {
        "type": f"/problems/{code}",
        "title": CATALOGUE[code].title,
        "status": CATALOGUE[code].status.value,
        "detail": CATALOGUE[code].title,
        "errors": [],
        "requestId": EXAMPLE_REQUEST_ID,
    }


def _header(description: str) -> Header:
    return Header.model_validate({"description": description, "schema": {"type": "string"}})


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"{OPENAPI3_REF_PREFIX}/{model.__name__}"}


def _example(model: type[BaseModel]) -> Any:
    schema = model.model_json_schema()
    if issubclass(model, Page) and "examples" not in schema:
        (item,) = get_args(model.model_fields["items"].annotation)
        return {"items": [_example(item)], "next": None}
    return schema["examples"][0]


def components(model: type[BaseModel], mode: _Mode = "serialization") -> dict[str, Any]:
    """Return the schemas of *model* and of all that it holds.

    As they are, and not as flask-openapi's Schema: that has no room for `patternProperties`.
    """
    whole = get_model_schema(model, mode=mode)
    inner = whole.pop("$defs", {})
    return {model.__name__: whole, **inner}
