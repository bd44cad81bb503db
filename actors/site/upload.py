"""One blob on its way from a file up to the edge: resumed, in parts, bounded in time.

Rule 1: the edge is asked how far it is, so that what is there already is not sent again.
Rule 2: only the edge's word that it has verified the whole ends an upload well.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus as S
from io import FileIO
from types import MappingProxyType
from typing import Final

from actors.drivers.deadline import Deadline
from actors.drivers.edge_line import Answer, Edge
from actors.drivers.errors import NotAllowed, Unreachable
from models.blobs import ANY

FIRST: Final = 16 * 1024
"""Bytes of the first part: few, so that whoever refuses it has read it, and is heard."""

PART: Final = 1024 * 1024
TRY_S: Final = 900.0
"""How long one try may take; the next goes on where it ended."""

STALLS: Final = 3
"""Answers after which the edge has no more than before, before it is given up for now."""

OFFSET: Final = "Upload-Offset"

_FINAL: Final = frozenset(
    {
        *(S.UNAUTHORIZED, S.FORBIDDEN, S.GONE),
        *(S.REQUEST_ENTITY_TOO_LARGE, S.UNPROCESSABLE_ENTITY),
    }
)
"""Answers that stay: the right has run out, is another's, or is for less; it is something else."""


class Unsent(Exception):
    """It could not be brought up now: it waits, and is tried again."""


class Unwanted(Exception):
    """The edge will never take it; says why."""


@dataclass
class Upload:
    """Brings *size* bytes of *content* to the edge, as the blob *sha256*, by the right in *url*."""

    edge: Edge
    url: str
    sha256: str
    size: int
    content: FileIO
    stop: threading.Event
    _again: bool = False

    def run(self) -> None:
        """Return when the edge has it whole and verified.  Raises Unsent and Unwanted."""
        until = Deadline.after(TRY_S)
        try:
            self._send(until)
        except NotAllowed as exc:
            raise Unwanted(str(exc)) from exc
        except Unreachable as exc:
            raise Unsent(str(exc)) from exc

    def _send(self, until: Deadline) -> None:
        at, most, stalls = self._come(), FIRST, 0
        while at is not None:
            if self.stop.is_set() or until.left <= 0:
                raise Unsent("it is gone on with later")
            start = max(0, min(at, self.size - 1))  # the last byte again has it verified
            at = self._put(start, os.pread(self.content.fileno(), most, start))
            stalls += at is not None and at <= start
            if stalls > STALLS:
                raise Unsent("the edge does not get further with it")
            most = PART

    def _come(self) -> int | None:
        """Return how many bytes the edge has, None when it has all."""
        with self.edge.exchange("HEAD", self._link(), headers={}) as answer:
            if answer.status == S.OK:
                return None
            return _offset(answer, 0)  # whatever it refuses, it says with the first part

    def _put(self, start: int, body: bytes) -> int | None:
        """Send *body*; return where to go on, None at the end."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{start + len(body) - 1}/{self.size}",
        }
        with self.edge.exchange("PUT", self._link(), headers=headers, body=body) as answer:
            judge = _JUDGES.get(answer.status)
            if judge is not None:
                return judge(answer, start)
            if answer.status == S.UNPROCESSABLE_ENTITY and not self._again:
                self._again = True  # a cut may have spoiled what had come: it was dropped there
                return 0
            if answer.status in _FINAL:
                raise Unwanted(_detail(answer))
            raise Unsent(_detail(answer))

    def _link(self) -> str:
        return self.url.replace(ANY, self.sha256)


def _offset(answer: Answer, otherwise: int) -> int:
    text = answer.headers.get(OFFSET, "")
    return int(text) if text.isascii() and text.isdecimal() else otherwise


def _whole(_answer: Answer, _start: int) -> None:
    return None


_JUDGES: Final = MappingProxyType[int, Callable[[Answer, int], int | None]](
    {
        S.OK: _whole,
        S.CREATED: _whole,
        S.ACCEPTED: _offset,
        S.CONFLICT: _offset,
    }
)


def _detail(answer: Answer) -> str:
    """Return what the edge says of its refusal (RFC 9457), in one line."""
    try:
        detail = str(json.loads(answer.text())["detail"])
    except (Unreachable, ValueError, KeyError, TypeError):
        detail = "no reason given"
    return f"the edge answers {answer.status}: {detail[:200]}"
