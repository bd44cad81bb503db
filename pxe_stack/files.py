"""Artifacts, verified before they came into the store: served by sendfile, with Range.

The ranges are ours: werkzeug sends a range through a Python iterator of 8 KiB pieces.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from io import FileIO
from typing import Any, Final
from wsgiref.types import WSGIEnvironment

from flask import Response

from pxe_stack.directory import StoredFile

CHUNKS_SUFFIX: Final = ".chunks"
BLOCK: Final = 1024 * 1024

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range lies outside the file (RFC 9110 §14.1.2)."""


class Changed(Exception):
    """The file is no longer the one that was verified."""


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, length) of the one range that *header* asks for, or None for all of it.

    Several ranges, other units and nonsense mean all of it (RFC 9110 §14.2).  Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        start, end = size - length, size - 1
    else:
        start = int(match[1])
        end = min(int(match[2]) if match[2] else size - 1, size - 1)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or end < start:
        raise Unsatisfiable
    return start, end - start + 1


def opened(stored: StoredFile) -> FileIO:
    """Open the artifact's file.  Raises Changed when it is not the one that was verified."""
    try:
        file = FileIO(stored.location)
    except OSError as exc:
        raise Changed(f"{stored.location}: {exc.strerror}") from exc
    stat = os.fstat(file.fileno())
    if (stat.st_size, stat.st_mtime_ns) != (stored.size, stored.mtime_ns):
        file.close()
        raise Changed(f"{stored.location} was changed after it was verified")
    return file


@dataclass(frozen=True, slots=True)
class Served:
    """An answer, and which part of the file its body is; *length* is 0 where there is no body."""

    response: Response
    start: int = 0
    length: int = 0


def headers(stored: StoredFile) -> dict[str, str]:
    """Return what every answer about *stored* carries."""
    return {
        "Accept-Ranges": "bytes",
        "ETag": f'"{stored.sha256}"',
        "Content-Type": "application/octet-stream",
        "Cache-Control": "no-cache",
    }


def respond(
    stored: StoredFile,
    environ: WSGIEnvironment,
    open_file: Callable[[StoredFile], FileIO] = opened,
) -> Served:
    """Return the answer to a GET or HEAD of *stored*, which *open_file* opens.  Raises Changed."""
    common = headers(stored)
    if environ.get("HTTP_IF_NONE_MATCH") == common["ETag"]:
        return Served(Response(status=HTTPStatus.NOT_MODIFIED, headers=common))
    if_range = environ.get("HTTP_IF_RANGE", common["ETag"])
    asked = environ.get("HTTP_RANGE") if if_range == common["ETag"] else None
    try:
        found = part(asked, stored.size)
    except Unsatisfiable:
        common["Content-Range"] = f"bytes */{stored.size}"
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return Served(Response(status=status, headers=common))
    start, length = found or (0, stored.size)
    status = HTTPStatus.OK if found is None else HTTPStatus.PARTIAL_CONTENT
    if found is not None:
        common["Content-Range"] = f"bytes {start}-{start + length - 1}/{stored.size}"
    common["Content-Length"] = str(length)
    file = open_file(stored)
    if environ["REQUEST_METHOD"] == "HEAD":
        file.close()
        return Served(Response(status=status, headers=common), start)
    file.seek(start)
    body = _body(file, length, environ)
    response = Response(body, status=status, headers=common, direct_passthrough=True)
    return Served(response, start, length)


def _body(file: FileIO, length: int, environ: WSGIEnvironment) -> Any:
    # gunicorn hands what it wrapped itself to sendfile(2), from where the file stands.
    wrapper = environ.get("wsgi.file_wrapper")
    return _pieces(file, length) if wrapper is None else wrapper(file, BLOCK)


def _pieces(file: FileIO, length: int) -> Iterator[bytes]:
    with file:
        while length > 0 and (piece := file.read(min(BLOCK, length))):
            length -= len(piece)
            yield piece
