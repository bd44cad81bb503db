"""A file on its way to the edge: in parts under its SHA-256, gone on with where it broke off."""

import hashlib
import os
from io import BufferedReader
from pathlib import Path
from typing import Final

from edge.cli import follow, terminal
from edge.cli.client import Api, Told

PART: Final = 8 << 20
VERIFIED_S: Final = 600.0
"""Seconds for the answer to the last part: the edge then reads all of it once more."""

OFFSET: Final = "Upload-Offset"
_GAP: Final = 409
_STEP: Final = 10
"""Hundredths of the way between two lines of a log."""


class Progress:
    """Tells how far *what* is: in place on a terminal, else now and then a line."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._share = -1

    def at(self, done: int) -> None:
        """Tell that so many bytes are *done*."""
        share = 100 * done // self._total
        if share == self._share:
            return
        line = f"{self._what}: {share} %, {done >> 20} of {self._total >> 20} MiB"
        if terminal.is_live():
            terminal.redraw([line], 0 if self._share < 0 else 1)
        elif self._share < 0 or share // _STEP != self._share // _STEP:
            terminal.tell(line)
        self._share = share


def upload(api: Api, path: Path) -> str:
    """Upload the file at *path*, unless it is there already; return its SHA-256.

    An edge that is away is waited for.  Raises Told.
    """
    try:
        with path.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            if not size:
                raise Told(f"{path} is empty")
            sha256 = _sha256(content, Progress(f"reading {path.name}", size))
            told = Progress(f"uploading {path.name}", size)
            follow.until(lambda: _sent(api, sha256, content, size, told), f"upload of {path.name}")
    except OSError as exc:
        raise Told(f"cannot read {path}: {exc.strerror}") from exc
    return sha256


def _sha256(content: BufferedReader, told: Progress) -> str:
    found, done = hashlib.sha256(), 0
    while piece := content.read(PART):
        found.update(piece)
        done += len(piece)
        told.at(done)
    return found.hexdigest()


def _sent(api: Api, sha256: str, content: BufferedReader, size: int, told: Progress) -> str | None:
    """Send what is not there yet; return *sha256*, or None to look again how far it is."""
    path = f"/v1/blobs/{sha256}"
    at = _come(api, path)
    while at is not None:
        # All may have come and nobody have verified it: the last part is said again then.
        at = min(at, (size - 1) // PART * PART)
        told.at(at)
        content.seek(at)
        piece = content.read(PART)
        if not piece:
            raise Told("the file became shorter while it was uploaded")
        given = {"Content-Range": f"bytes {at}-{at + len(piece) - 1}/{size}"}
        try:
            answer, _ = api.call("PUT", path, content=piece, given=given, wait_s=VERIFIED_S)
        except Told as exc:
            if exc.http == _GAP:
                return None
            raise
        at = None if answer["whole"] else int(answer["bytes"])
    told.at(size)
    return sha256


def _come(api: Api, path: str) -> int | None:
    """Return how many bytes have come; None: all of them, and they are verified."""
    try:
        api.call("HEAD", path)
    except Told as exc:
        if exc.http != 404:
            raise
        told = exc.headers.get(OFFSET, "")
        return int(told) if told.isascii() and told.isdecimal() else 0
    return None
