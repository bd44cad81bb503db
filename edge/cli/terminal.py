"""What reaches a terminal: words of others never steer it, and wide characters take two cells."""

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Final, TextIO

_WIDE: Final = frozenset("WF")
_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, marks that turn the direction of writing, and what no font shows (Unicode, 4.5)."""

_ODD: Final = re.compile(r"[^ -~]")
_ODD_BUT_LINES: Final = re.compile(r"[^ -~\n\t]")
_MANY: Final = 10_000


def clean(text: str, *, lines: bool = False) -> str:
    """Return *text* with all that steers a terminal written out; with *lines*, lines stay lines."""
    return (_ODD_BUT_LINES if lines else _ODD).sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    char = found[0]
    if unicodedata.category(char) not in _STEERING:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def width(text: str) -> int:
    """Return how many cells *text* takes, once it is clean."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def padded(text: str, cells: int) -> str:
    """Return *text* followed by spaces up to *cells*."""
    return text + " " * (cells - width(text))


def shortened(text: str, cells: int) -> str:
    """Return *text* if it fits into *cells*, else as much of it as does, and an ellipsis."""
    if width(text) <= cells:
        return text
    left, kept = cells - 1, ""
    for char in text:
        left -= _cells(char)
        if left < 0:
            break
        kept += char
    return f"{kept}…"


def columns() -> int:
    """Return how many cells a line of standard output has; many where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _MANY


def out(text: str) -> None:
    """Write a result, lines and all, to standard output."""
    _write(sys.stdout, clean(text, lines=True))


def piece(stream: TextIO, text: str) -> None:
    """Write a piece of somebody's text to *stream*, which may end within a line."""
    coding = stream.encoding or "utf-8"
    coded = clean(text, lines=True).encode(coding, "backslashreplace")
    stream.write(coded.decode(coding))
    stream.flush()


def tell(text: str) -> None:
    """Tell the person how it goes, on standard error, at once."""
    _write(sys.stderr, clean(text, lines=True))


def _write(stream: TextIO, text: str) -> None:
    # A terminal that knows no such character is no reason to end.
    coded = text.encode(stream.encoding or "utf-8", "backslashreplace")
    stream.write(coded.decode(stream.encoding or "utf-8") + "\n")
    stream.flush()


def is_live() -> bool:
    """Whether standard error is a terminal on which lines can be written anew."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def redraw(lines: Sequence[str], before: int) -> None:
    """Write *lines* to standard error in place of the *before* that were written last."""
    room = shutil.get_terminal_size().columns - 1
    up = f"\x1b[{before}F\x1b[J" if before else ""
    text = "\n".join(shortened(clean(line), room) for line in lines)
    coding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(up + f"{text}\n".encode(coding, "backslashreplace").decode(coding))
    sys.stderr.flush()


def content(piece: bytes) -> None:
    """Write a piece of a file: as it is to a file or a pipe, and visible to a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(piece)
        return
    sys.stdout.write(clean(piece.decode("utf-8", "backslashreplace"), lines=True))
