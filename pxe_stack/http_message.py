"""One HTTP message at a time, as bytes: RFC 9112 read strictly, since boot clients write it so.

Rule 1: whatever two readers could understand differently is refused and ends the connection.
Rule 2: nothing here waits, opens or sends.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from secrets import token_hex
from typing import Final
from urllib.parse import unquote_to_bytes

from models import names

MOST_HEAD: Final = 8 * 1024
"""Bytes of a request line with its fields."""
MOST_TARGET: Final = 2048
MOST_FIELDS: Final = 64
MOST_CHUNK_LINE: Final = 128

METHODS: Final = ("GET", "HEAD", "POST")

_END: Final = b"\r\n\r\n"
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_LINE: Final = re.compile(rb"(" + _TOKEN + rb"{1,32}) ([!-~]{1,8192}) HTTP/([0-9])\.([0-9])")
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"{1,64}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_ABSOLUTE: Final = re.compile(r"http://[A-Za-z0-9._:\[\]-]+(?=[/?]|$)", re.IGNORECASE)
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?")


class Refused(Exception):
    """A message that cannot be answered but with *status*; the connection ends with it."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: *path* is decoded, *fields* have lower-case names, *client* is an address.

    *id* goes into its answer and the log lines about it;
    *accel* is how a proxy in front that is trusted wants files named, "" for bytes.
    """

    method: str
    path: str
    query: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    body: bytes = b""
    accel: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request, and what follows it: *length* bytes, or chunks."""

    request: Request
    keep: bool
    length: int = 0
    chunked: bool = False

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body follow."""
        return self.chunked or self.length > 0

    @property
    def waits(self) -> bool:
        """Whether the client sends its body only when it is told to go on (RFC 9110 §10.1.1)."""
        return self.has_body and self.request.fields.get("expect", "").lower() == "100-continue"


def head(data: bytes | bytearray) -> tuple[Head, int] | None:
    """Return the head that *data* begins with and its length; None while it is incomplete.

    Raises Refused.
    """
    skip = 2 if data[:2] == b"\r\n" else 0  # RFC 9112 §2.2: one empty line before is ignored
    end = data.find(_END, skip, skip + MOST_HEAD)
    if end < 0:
        _bound(data, skip)
        return None
    line, *lines = bytes(data[skip:end]).split(b"\r\n")
    method, target, version = _request_line(line)
    fields = _fields(lines, version)
    path, query = _split(target)
    request = Request(method=method, path=path, query=query, fields=fields)
    length, chunked = _framing(fields, version)
    return Head(request, _keeps(fields, version), length, chunked), end + len(_END)


def request_id(fields: Mapping[str, str]) -> str:
    """Return the id that a request came with, or one that is made here."""
    given = fields.get("x-request-id", "")
    return given if names.REQUEST_ID.fullmatch(given) else token_hex(16)


def _bound(data: bytes | bytearray, skip: int) -> None:
    if len(data) - skip < MOST_HEAD:
        return
    too_long = data.find(b"\r\n", skip) < 0
    status = HTTPStatus.REQUEST_URI_TOO_LONG
    raise Refused(status if too_long else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def _request_line(line: bytes) -> tuple[str, str, int]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise Refused(HTTPStatus.BAD_REQUEST)
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if len(target) > MOST_TARGET:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    return method.decode("ascii"), target.decode("ascii"), min(int(minor), 1)


def _fields(lines: list[bytes], version: int) -> dict[str, str]:
    if len(lines) > MOST_FIELDS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:  # a name with space after it, a folded line, a bare CR or LF, NUL
            raise Refused(HTTPStatus.BAD_REQUEST)
        name = match[1].decode("ascii").lower()
        value = match[2].decode("latin-1").rstrip(" \t")
        if name in fields and name in {"host", "content-length", "transfer-encoding"}:
            raise Refused(HTTPStatus.BAD_REQUEST)
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    if version and "host" not in fields:
        raise Refused(HTTPStatus.BAD_REQUEST)
    return fields


def _split(target: str) -> tuple[str, str]:
    """Return the decoded path and the query; the origin and the absolute form alike."""
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        target = target[absolute.end() :]
        target = target if target.startswith("/") else f"/{target}"
    path, _, query = target.partition("?")
    if not path.startswith("/") or "#" in target:
        raise Refused(HTTPStatus.BAD_REQUEST)
    if "%" not in path:
        return path, query
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Refused(HTTPStatus.BAD_REQUEST) from exc
    if "\0" in decoded:
        raise Refused(HTTPStatus.BAD_REQUEST)
    return decoded, query


def _framing(fields: Mapping[str, str], version: int) -> tuple[int, bool]:
    """Return how the body is framed (RFC 9112 §6.3); two ways at once are an attack."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if length is not None or not version:
            raise Refused(HTTPStatus.BAD_REQUEST)
        if coding.lower() != "chunked":
            raise Refused(HTTPStatus.NOT_IMPLEMENTED)
        return 0, True
    if length is None:
        return 0, False
    if not _LENGTH.fullmatch(length):
        raise Refused(HTTPStatus.BAD_REQUEST)
    return int(length), False


def _keeps(fields: Mapping[str, str], version: int) -> bool:
    said = {word.strip().lower() for word in fields.get("connection", "").split(",")}
    return "close" not in said and (bool(version) or "keep-alive" in said)


def chunks(data: bytes | bytearray, most: int) -> tuple[bytes, int] | None:
    """Return the body whose chunks *data* begins with and their length; None while incomplete.

    Raises Refused for chunks that are none, and for a body of more than *most* bytes.
    """
    body, at = bytearray(), 0
    while (line := _chunk_line(data, at)) is not None:
        size, at = line
        if len(body) + size > most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if size == 0:
            return _after_trailer(data, at, bytes(body))
        if len(data) < at + size + 2:
            break
        if data[at + size : at + size + 2] != b"\r\n":
            raise Refused(HTTPStatus.BAD_REQUEST)
        body += data[at : at + size]
        at += size + 2
    if len(data) > 4 * most:  # small chunks have more frame than content; that too is bounded
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return None


def _chunk_line(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return the size of the chunk whose line begins at *at*, and where its content begins."""
    end = data.find(b"\r\n", at, at + MOST_CHUNK_LINE)
    if end < 0:
        if len(data) - at >= MOST_CHUNK_LINE:
            raise Refused(HTTPStatus.BAD_REQUEST)
        return None
    match = _CHUNK.fullmatch(data, at, end)
    if match is None:
        raise Refused(HTTPStatus.BAD_REQUEST)
    return int(match[1], 16), end + 2


def _after_trailer(data: bytes | bytearray, at: int, body: bytes) -> tuple[bytes, int] | None:
    """Trailer fields are not taken: nothing that is served here has any."""
    if data[at : at + 2] == b"\r\n":
        return body, at + 2
    if len(data) - at >= 2:
        raise Refused(HTTPStatus.BAD_REQUEST)
    return None
