"""An answer as a value: bytes, or a part of a file; and which part the request's fields ask for."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from io import FileIO
from typing import Final

from pxe_stack.http_message import METHODS, Request

_RANGES: Final = re.compile(r"bytes=([0-9, \t-]{1,512})")
_RANGE: Final = re.compile(r"(\d{0,18})-(\d{0,18})")

MOST_RANGES: Final = 64


class Unsatisfiable(Exception):
    """No range lies inside the file (RFC 9110 §14.1.2)."""


@dataclass(frozen=True, slots=True)
class Laid:
    """*body*, to be sent in place of as many bytes of a file from its byte *start*."""

    start: int
    body: bytes = field(repr=False)

    def due(self, at: int, length: int) -> bytes | int:
        """Return what of *length* bytes from *at* goes first: ours, or how many of the file's."""
        if at < self.start:
            return min(length, self.start - at)
        return self.body[at - self.start :][:length] or length


@dataclass(frozen=True, slots=True)
class FilePart:
    """*length* bytes of the open *file* from *start*, with what is *laid* over it.

    Whoever has it closes it.
    """

    file: FileIO
    start: int
    length: int
    laid: Laid | None = None

    def due(self, at: int, length: int) -> bytes | int:
        """Return which bytes go next from byte *at*, or how many of the file's own do."""
        return length if self.laid is None else self.laid.due(at, length)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back.  *size* is what Content-Length says, also where no body follows.

    *sent*, where there is one, is told once how many bytes of the body left.
    """

    status: HTTPStatus
    fields: Mapping[str, str]
    body: bytes | FilePart = b""
    size: int = 0
    sent: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part is sent, with which status and fields; *bare*: the head alone."""

    status: HTTPStatus
    start: int
    length: int
    fields: Mapping[str, str]
    bare: bool


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, length) of the one range that *header* asks for, or None for all of it.

    Several ranges, other units and nonsense mean all of it (RFC 9110 §14.2).  Raises Unsatisfiable,
    also where none of several ranges can be had.
    """
    match = _RANGES.fullmatch(header.strip()) if header else None
    asked = [] if match is None else [each.strip() for each in match[1].split(",") if each.strip()]
    if not 0 < len(asked) <= MOST_RANGES:
        return None
    found = []
    for each in asked:
        valid = _RANGE.fullmatch(each)
        if valid is None or not (valid[1] or valid[2]):
            return None
        if valid[1] and valid[2] and int(valid[2]) < int(valid[1]):
            return None
        found.append(_one(valid[1], valid[2], size))
    if not any(found):
        raise Unsatisfiable
    return found[0] if len(found) == 1 else None


def _one(first: str, last: str, size: int) -> tuple[int, int] | None:
    if not first:
        length = min(int(last), size)
        return (size - length, length) if length else None
    start = int(first)
    end = min(int(last) if last else size - 1, size - 1)
    return (start, end - start + 1) if start < size else None


def select(request: Request, size: int, etag: str) -> Selection:
    """Return the part of *size* bytes that *request* is due (RFC 9110 §13.2.2)."""
    fields, bare = request.fields, request.method == "HEAD"
    if "if-match" in fields and not _holds(fields["if-match"], etag, weakly=False):
        return Selection(HTTPStatus.PRECONDITION_FAILED, 0, 0, {}, bare=True)
    if _holds(fields.get("if-none-match"), etag):
        return Selection(HTTPStatus.NOT_MODIFIED, 0, 0, {}, bare=True)
    ranged = not bare and fields.get("if-range", etag) == etag
    try:
        found = part(fields.get("range") if ranged else None, size)
    except Unsatisfiable:
        outside = {"Content-Range": f"bytes */{size}"}
        return Selection(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, 0, outside, bare=True)
    if found is None:
        return Selection(HTTPStatus.OK, 0, size, {}, bare)
    start, length = found
    there = {"Content-Range": f"bytes {start}-{start + length - 1}/{size}"}
    return Selection(HTTPStatus.PARTIAL_CONTENT, start, length, there, bare)


def _holds(condition: str | None, etag: str, *, weakly: bool = True) -> bool:
    if condition is None:
        return False
    said = {tag.strip().removeprefix("W/" if weakly else "") for tag in condition.split(",")}
    return "*" in said or etag in said


def digests(sha256: bytes) -> dict[str, str]:
    """Return the fields that name content by its SHA-256 (RFC 9110 §8.8.3, RFC 9530)."""
    return {
        "ETag": f'"{sha256.hex()}"',
        "Repr-Digest": f"sha-256=:{b64encode(sha256).decode('ascii')}:",
    }


@lru_cache(maxsize=32)
def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()  # of a loader, milliseconds


def text(
    body: str | bytes,
    *,
    media_type: str = "text/plain",
    status: HTTPStatus = HTTPStatus.OK,
    request: Request | None = None,
) -> Answer:
    """Return *body* as an answer, or the part of it that *request* asks for."""
    data = body.encode() if isinstance(body, str) else body
    fields = {
        "Content-Type": media_type,
        "Cache-Control": "no-store",
        **digests(_sha256(data)),
    }
    if request is None:
        return Answer(status=status, fields=fields, body=data, size=len(data))
    chosen = select(request, len(data), fields["ETag"])
    piece = b"" if chosen.bare else data[chosen.start : chosen.start + chosen.length]
    fields |= {"Accept-Ranges": "bytes", **chosen.fields}
    return Answer(status=chosen.status, fields=fields, body=piece, size=chosen.length)


def plain(status: HTTPStatus, **fields: str) -> Answer:
    """Return the short answer that *status* is; underscores in names of *fields* are hyphens."""
    made = text(f"{status.phrase.lower()}\n", status=status)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.setdefault("Allow", ", ".join(METHODS))
    more = {name.replace("_", "-"): value for name, value in fields.items()}
    return Answer(status=status, fields={**made.fields, **more}, body=made.body, size=made.size)


def head_of(answer: Answer, now: int, *, keep: bool, request_id: str) -> bytes:
    """Return the head of *answer* as bytes; *now* is in seconds since the epoch."""
    bodiless = answer.status is HTTPStatus.NOT_MODIFIED
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Date: {_date(now)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        f"X-Request-Id: {request_id}",
        *(f"{name}: {value}" for name, value in answer.fields.items()),
    ]
    if not bodiless:
        lines.append(f"Content-Length: {answer.size}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


@lru_cache(maxsize=4)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)
