"""Artifacts, verified before they came into the store: which part of one is sent, and from where.

The ranges are ours: werkzeug sends a range through a Python iterator of 8 KiB pieces.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import FileIO
from typing import Final

from pxe_stack import iso_slot
from pxe_stack.directory import StoredFile
from pxe_stack.http_answer import Answer, FilePart, Laid, digests, select
from pxe_stack.http_message import Request

CHUNKS_SUFFIX: Final = ".chunks"


class Changed(Exception):
    """The file is no longer the one that was verified."""


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


def headers(stored: StoredFile) -> dict[str, str]:
    """Return what every answer about *stored* carries."""
    return {
        "Accept-Ranges": "bytes",
        **digests(bytes.fromhex(stored.sha256)),
        "Content-Type": "application/octet-stream",
        "Cache-Control": "no-cache",
    }


def answer(
    stored: StoredFile,
    request: Request,
    open_file: Callable[[StoredFile], FileIO] = opened,
) -> Answer:
    """Return the answer to a GET or HEAD of *stored*, which *open_file* opens.  Raises Changed."""
    fields = headers(stored)
    chosen = select(request, stored.size, fields["ETag"])
    fields |= chosen.fields
    if chosen.bare and not chosen.length:
        return Answer(status=chosen.status, fields=fields)
    file = open_file(stored)
    if chosen.bare:
        file.close()
        return Answer(status=chosen.status, fields=fields, size=chosen.length)
    body = FilePart(file, chosen.start, chosen.length)
    return Answer(status=chosen.status, fields=fields, body=body, size=chosen.length)


def with_slot(stored: StoredFile, request: Request, words: bytes) -> Answer:
    """Return the answer to a GET or HEAD of the ISO *stored* with *words* laid over its slot.

    It is another file than the one stored, and secret: it has an ETag of its own, and is nobody's
    to keep.  Raises Changed, and iso_slot.NoSlot.
    """
    own = replace(stored, sha256=hashlib.sha256(stored.sha256.encode() + words).hexdigest())
    with opened(stored) as file:
        at = iso_slot.place(partial(_read, file), stored.size)
    made = answer(own, request)
    fields = {name: value for name, value in made.fields.items() if name != "Repr-Digest"}
    body = made.body
    if isinstance(body, FilePart):
        body = replace(body, laid=Laid(at, words))
    return replace(made, fields=fields | {"Cache-Control": "no-store"}, body=body)


def _read(file: FileIO, at: int, length: int) -> bytes:
    return os.pread(file.fileno(), length, at)
