"""What a request hangs on besides its body: that nothing changed since, and that it is done once.

ETag and If-Match are those of RFC 9110; a record that operators edit has its version as ETag,
anything else a digest of what is shown.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Final

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from edge import auth
from edge.errors import (
    Fault,
    PreconditionFailed,
    PreconditionMissing,
    Refusal,
    Unreadable,
)
from models.commands import idempotency
from models.commands.idempotency import Kept
from models.database import database
from models.errors import DomainError, Stale

_KEY: Final = r"^[\x21-\x7e]{1,255}$"
_HELD: Final = ("Content-Type", "ETag", "Location")
"""Headers of an answer that are given again with it."""


class Once(BaseModel):
    """What a POST may bear."""

    model_config = ConfigDict(frozen=True)

    idempotency_key: Annotated[
        str,
        Field(
            default_factory=str,
            alias="Idempotency-Key",
            pattern=_KEY,
            description="The same key with the same request gets the same answer for a day, and "
            "nothing is done twice.",
            examples=["4f6c1a52-provision-node-01"],
        ),
    ]


class Unchanged(BaseModel):
    """What an update may bear."""

    model_config = ConfigDict(frozen=True)

    if_match: Annotated[
        str,
        Field(
            default_factory=str,
            alias="If-Match",
            description="ETag of what was read: 412 when it was changed since; `*`: whatever it "
            "is by now.",
            examples=['"3"'],
        ),
    ]


def tag(answer: BaseModel, body: str) -> str:
    """Return the ETag of *answer*, written as *body*."""
    version = getattr(answer, "version", None)
    digest = hashlib.sha256(body.encode()).hexdigest()[:32]
    return version_tag(digest if version is None else version)


def version_tag(version: object) -> str:
    """Return the ETag of what is at *version*."""
    return f'"{version}"'


def expected(version: int | None, *, demanded: bool = True) -> int | None:
    """Return the version that an update is for: the body's, or that of If-Match; None for `*`.

    Raises PreconditionFailed for a tag that no version has, or that is none; PreconditionMissing
    when nothing is said, and that is *demanded*.
    """
    given = request.headers.get("If-Match")
    if given is None:
        if version is None and demanded:
            fault = Fault("/version", "it is missing", "Send If-Match with the ETag, or version.")
            raise PreconditionMissing("neither version nor If-Match was sent", [fault])
        return version
    if given == "*":
        return version
    match = re.fullmatch(r'"([1-9][0-9]{0,9})"', given)
    if match is None or version not in {None, int(match[1])}:
        raise PreconditionFailed("the ETag is of nothing that is there now")
    return int(match[1])


def unchanged(view: Callable[[], Response]) -> Response:
    """Return what *view* answers; a record that is stale to If-Match is a failed precondition."""
    try:
        return view()
    except Stale as exc:
        if "If-Match" in request.headers:
            raise PreconditionFailed(str(exc)) from None
        raise


def once(view: Callable[[], Response], *, secret: bool) -> Response:
    """Return what *view* answers, or answered before to the same Idempotency-Key of this caller.

    The answer is kept in the transaction of what it tells of.  A refusal is not kept, but what
    *view* wrote before it stays.  With *secret*, that there was an answer is kept, and not which.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return view()
    if not re.fullmatch(_KEY, key):
        fault = Fault("/Idempotency-Key", "it is no key", "Send 1 to 255 visible characters.")
        raise Unreadable("the Idempotency-Key is none", [fault])
    came = auth.caller()
    name = came.subject or came.name  # several may share a name, and their answers are not one
    with database.atomic():
        kept = idempotency.claim(name, key, _digest())
        if kept is not None:
            return Response(kept.body, status=kept.status, headers=dict(kept.headers))
        try:
            answer = view()
        except (DomainError, Refusal) as refused:
            idempotency.release(name, key)
            refusal: Exception = refused
        else:
            idempotency.keep(name, key, None if secret else _kept(answer))
            return answer
    raise refusal


def _digest() -> bytes:
    """Return what tells this request from another."""
    asked = f"{request.method} {request.full_path}\n{request.mimetype}\n".encode()
    return hashlib.sha256(asked + request.get_data(cache=True)).digest()


def _kept(answer: Response) -> Kept:
    headers = {name: answer.headers[name] for name in _HELD if name in answer.headers}
    return Kept(status=answer.status_code, headers=headers, body=answer.get_data())
