"""Blobs: files by their SHA-256, down to sites and up from them, apart from the queue."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Response, current_app, g, request
from flask_openapi.models.header import Header
from flask_openapi.models.media_type import MediaType
from flask_openapi.models.request_body import RequestBody
from flask_openapi.models.response import Response as Documented
from pydantic import BaseModel, ConfigDict, Field

from edge import access, auth, uploads
from edge.api import document, reading
from edge.api.contract import answered, resource
from edge.api.fields import Answer, Path, Sha256, example
from edge.blobs import Places, Shelf
from edge.errors import NoBlob, NoLength, OutsideBlob
from edge.refusals import recorded_as
from edge.uploads import OFFSET, Uploads
from models.blobs import QUERY, Right
from models.commands import blobs
from models.database import Unavailable, borrowed
from pxe_stack import files, http
from pxe_stack.directory import StoredFile

STALL_S: Final = 30.0
"""How long a peer may neither send nor take anything before it is left."""

MOST_BYTES: Final = 1 << 40
"""Of an operator's upload; a right names its own."""

EXTENSION: Final = "sprout-blobs"

_BINARY: Final = "application/octet-stream"
_RULE: Final = "/v1/blobs/<sha256>"

log = structlog.get_logger()
api: Final = resource("blobs", "Files by their SHA-256.", "right")


class Store:
    """What the views work with; one for each process."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.uploads = Uploads(shelf.folder)
        self.places = Places()


class BlobRef(Path):
    sha256: Sha256 = Field(description="SHA-256 in lower-case hexadecimal digits.")


class Reading(BaseModel):
    range: str = Field(
        default_factory=str,
        alias="Range",
        description="One range: `bytes=FIRST-`, `bytes=FIRST-LAST`, `bytes=-N`.",
    )
    if_range: str = Field(
        default_factory=str,
        alias="If-Range",
        description="An ETag: without it being the same, all is sent.",
    )


class Writing(BaseModel):
    content_range: str = Field(
        default_factory=str,
        alias="Content-Range",
        pattern=f"^{uploads.RANGE}$",
        description="`bytes FIRST-LAST/TOTAL` of a part; absent: the body is the whole blob.",
    )


class Blob(Answer):
    """How far an upload has come; *whole*: the blob is verified and can be read."""

    model_config = ConfigDict(
        json_schema_extra=example({"sha256": "ab" * 32, "bytes": 131072, "whole": True})
    )

    sha256: str
    bytes: int
    whole: bool


def _declared(
    method: str,
    name: str,
    action: str,
    told: dict[str, Documented],
    codes: Iterable[str],
    **more: Any,
) -> Callable[[Callable[[str], Response]], Callable[..., Response]]:
    """Declare a view that reads or writes bytes; it is given a SHA-256 of the right form."""
    refusals = {*document.EVERYWHERE, "validation", "right-refused", "right-expired", *codes}
    responses = {**told, **document.problems(refusals)}

    access.check(action)

    def declare(view: Callable[[str], Response]) -> Callable[..., Response]:
        def read(**path: str) -> Response:
            if QUERY not in request.args:
                access.admit(action)
            return view(reading.from_text(BlobRef, path).sha256)

        named = access.guard(recorded_as(action)(wraps(view)(read)))
        del named.__wrapped__  # its signature is not the contract's
        named.__annotations__ = {"path": BlobRef, "header": Reading if method == "get" else Writing}
        named.__delay_validate_request__ = True  # type: ignore[attr-defined] # see edge.api.contract
        register = getattr(api, method)
        register(_RULE, operation_id=name, responses=responses, **more)(named)
        api.components_schemas.update(document.components(Blob))
        return named

    return declare


def _bytes(description: str) -> Documented:
    content = MediaType.model_validate({"schema": {"type": "string", "format": "binary"}})
    etag = Header.model_validate(
        {"description": "The SHA-256, between quotes.", "schema": {"type": "string"}}
    )
    return Documented(description=description, headers={"ETag": etag}, content={_BINARY: content})


def _sent() -> RequestBody:
    content = MediaType.model_validate({"schema": {"type": "string", "format": "binary"}})
    return RequestBody(content={_BINARY: content}, required=True)


@_declared(
    "get",
    "getBlob",
    "blob.read",
    {"200": _bytes("The whole blob."), "206": _bytes("The range that was asked for.")},
    ("not-found", "range", "busy"),
)
def show(sha256: str) -> Response:
    """Read a blob, or a range of it.

    HEAD tells its size; of one that is on its way, 404 with Upload-Offset: the bytes that came
    from whoever asks.
    """
    holder, _ = _holder(sha256)
    store = _store()
    with store.places.one():
        found = _found(store, sha256, holder)
    _bound_stalls()
    try:
        response = http.respond(files.answer(found, http.asked(), store.places.opened))
    except files.Changed as exc:
        raise NoBlob("the blob was changed while it was looked for") from exc
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        there = {"Content-Range": f"bytes */{found.size}"}
        raise OutsideBlob(f"the blob has {found.size} bytes", headers=there)
    response.headers["Content-Disposition"] = "attachment"
    return response


@_declared(
    "put",
    "putBlob",
    "blob.put",
    {
        "200": document.told(Blob, HTTPStatus.OK),
        "201": document.told(Blob, HTTPStatus.CREATED),
        "202": document.told(Blob, HTTPStatus.ACCEPTED),
    },
    (
        *("malformed", "length-required", "blob-gap", "blob-mismatch", "blob-too-large"),
        *("disk-full", "busy"),
    ),
    request_body=_sent(),
)
def put(sha256: str) -> Response:
    """Upload a blob, or a part of it that joins what came before.

    Go on at Upload-Offset, which HEAD tells too; a part may be repeated.  201: it is verified and
    can be read; 202: more is to come; 200: it was here already.
    """
    holder, most = _holder(sha256)
    store = _store()
    if (own := store.shelf.own(sha256)) is not None:
        return _told(sha256, own.size, HTTPStatus.OK)
    if request.content_length is None:
        raise NoLength("Content-Length is missing")
    part = uploads.part(request.headers.get("Content-Range"), request.content_length)
    _bound_stalls()
    with store.places.one():
        body = request.environ["wsgi.input"].read
        came = store.uploads.receive(sha256, holder, part, body, most=most)
    if came.whole:
        _record(sha256, came.offset)
    return _told(sha256, came.offset, HTTPStatus.CREATED if came.whole else HTTPStatus.ACCEPTED)


def _store() -> Store:
    found: Store = current_app.extensions[EXTENSION]
    return found


def _holder(sha256: str) -> tuple[str, int]:
    """Return who asks, by a right in the URL or as an operator, and how much that one may upload.

    Raises RightRefused and RightExpired.
    """
    text = request.args.get(QUERY)
    if text is None:
        return auth.caller().name, MOST_BYTES
    with borrowed():
        found = blobs.right(text, method=request.method, sha256=sha256, now=datetime.now(UTC))
    g.operator = auth.Operator(found.holder, auth.Way.NONE)
    g.right = found
    return found.holder, found.most_bytes


def _found(store: Store, sha256: str, holder: str) -> StoredFile:
    def named() -> list[str]:
        with borrowed():
            return blobs.named(sha256)

    found = store.shelf.find(sha256, named)
    if found is None:
        come = {OFFSET: str(store.uploads.offset(sha256, holder))}
        raise NoBlob(f"no blob {sha256} is here", headers=come)
    return found


def _bound_stalls() -> None:
    line = request.environ.get("gunicorn.socket")
    if line is not None:
        line.settimeout(STALL_S)


def _record(sha256: str, size: int) -> None:
    right: Right | None = g.get("right")
    try:
        with borrowed():
            site = None if right is None else right.site
            blobs.kept(auth.caller(), sha256, size=size, site=site)
    except Unavailable as exc:
        # It is visible already, and asking again would not bring the row.
        log.warning("audit.lost", sha256=sha256, why=str(exc))


def _told(sha256: str, offset: int, status: HTTPStatus) -> Response:
    whole = status is not HTTPStatus.ACCEPTED
    location = f"/v1/blobs/{sha256}" if whole else ""
    response = answered(Blob(sha256=sha256, bytes=offset, whole=whole), status, location=location)
    response.headers[OFFSET] = str(offset)
    if not whole and offset:
        response.headers["Range"] = f"bytes=0-{offset - 1}"
    return response
