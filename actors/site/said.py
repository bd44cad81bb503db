"""What a command says, while it says it: kept up to a size, told in pieces, counted beyond."""

import codecs
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from actors.site.redaction import Redactor
from config import logs

INLINE: Final = 64 * 1024
"""Characters that are told while a command runs."""

PIECE: Final = 8 * 1024
"""Characters of one of these messages."""

PAUSE_S: Final = 1.0
"""Least seconds between two of them."""

KEPT: Final = 10 << 20
"""Bytes of a stream that are read and kept; the rest is counted and dropped."""

SHORT: Final = 8 * 1024
"""Characters of a stream that stand in the task's result."""

Tell = Callable[[Mapping[str, Any]], None]
"""Takes the data of a `task-output`."""


class Stream:
    """One stream of a command, as text without secrets."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._redactor = Redactor(logs.without_known)
        self._parts: list[str] = []
        self._untold = ""
        self._told = 0
        self.size = 0

    @property
    def dropped(self) -> int:
        """Bytes that came and were not kept."""
        return max(0, self.size - KEPT)

    @property
    def text(self) -> str:
        """What is kept."""
        return "".join(self._parts)

    @property
    def partly_told(self) -> bool:
        """Whether more is kept than was told."""
        return sum(map(len, self._parts)) > self._told

    def take(self, content: bytes) -> None:
        """Take what came; what is beyond the size that is kept is only counted."""
        room = max(0, KEPT - self.size)
        self.size += len(content)
        if room:
            # PostgreSQL's jsonb holds no NUL: a report with one would be kept as unreadable.
            text = self._decoder.decode(content[:room]).replace("\0", "\ufffd")
            self._add(self._redactor.take(text))

    def end(self) -> None:
        """Take what was held back, and say how much was dropped."""
        self._add(self._redactor.take(self._decoder.decode(b"", final=True)))
        self._add(self._redactor.rest())
        if self.dropped:
            self._add(f"\n[... {self.dropped} more bytes, dropped ...]\n")

    def next(self, most: int) -> str:
        """Return what is to be told next, *most* characters of it."""
        piece, self._untold = self._untold[:most], self._untold[most:]
        self._told += len(piece)
        return piece

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._untold += text[: max(0, INLINE - len(self._untold))]


class Said:
    """Both streams; *tell* is called now and then, from the thread that takes."""

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._room, self._told_at = INLINE, clock() - PAUSE_S
        self.streams = {"stdout": Stream(), "stderr": Stream()}

    def take(self, name: str, content: bytes) -> None:
        """Take what came on the stream *name*."""
        self.streams[name].take(content)
        if self._clock() - self._told_at >= PAUSE_S:
            self._tell_some()

    def end(self) -> None:
        """Tell what is left, as far as there is room for it."""
        for stream in self.streams.values():
            stream.end()
        while self._tell_some():
            pass
        if any(stream.partly_told for stream in self.streams.values()):
            self._tell({"stream": "stderr", "text": _MORE})

    def result(self) -> dict[str, Any]:
        """Return what a task's result says of it."""
        return {
            name: {"text": stream.text[:SHORT], "bytes": stream.size, "dropped": stream.dropped}
            for name, stream in self.streams.items()
        }

    def _tell_some(self) -> bool:
        """Tell a piece of each stream; whether there was one."""
        told = False
        for name, stream in self.streams.items():
            if piece := stream.next(min(PIECE, self._room)):
                self._tell({"stream": name, "text": piece})
                self._room -= len(piece)
                told = True
        self._told_at = self._clock() if told else self._told_at
        return told


_MORE: Final = "[... the whole of it is in the evidence ...]\n"
