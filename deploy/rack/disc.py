"""A machine's virtual CD: an image that its BMC fetches whole when it is inserted.

The machine sees it from its next power-on or reset, as with firmware that looks for drives once.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, build_opener

FILE: Final = "disc.iso"
MOST: Final = 8 << 30
"""Bytes of an image."""

_PATIENCE_S: Final = 20.0
_BLOCK: Final = 1 << 20


class Full(Exception):
    """An image is inserted already."""


class NoImage(Exception):
    """The image cannot be had."""


class Disc:
    """The drive: empty at first, whatever an earlier one left in the folder."""

    def __init__(self, folder: Path) -> None:
        self.image = ""
        """The URL of what is inserted."""
        self._file = folder / FILE
        self._file.unlink(missing_ok=True)

    def insert(self, url: str) -> None:
        """Fetch the image at *url*, which begins with http:// or https://.

        Raises Full, NoImage.
        """
        if self.image:
            raise Full
        part = self._file.with_suffix(".part")
        try:
            with _opened(url) as source, part.open("wb") as whole:
                _copy(source, whole.write)
            part.replace(self._file)
        except (OSError, ValueError) as exc:
            raise NoImage(str(exc)) from exc
        finally:
            part.unlink(missing_ok=True)
        self.image = url

    def eject(self) -> None:
        """Have nothing inserted.  A machine that runs from it keeps what it has opened."""
        self.image = ""
        with suppress(FileNotFoundError):
            self._file.unlink()


class _NoOtherHost(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow no redirect: few BMCs do."""


def _opened(url: str) -> IO[bytes]:
    if not url.startswith(("http://", "https://")):
        raise URLError(f"no http:// or https:// URL: {url}")
    opened: IO[bytes] = build_opener(_NoOtherHost).open(url, timeout=_PATIENCE_S)
    return opened


def _copy(source: IO[bytes], write: Callable[[bytes], object]) -> None:
    left = MOST
    while block := source.read(min(_BLOCK, left)):
        write(block)
        left -= len(block)
    if left == 0 and source.read(1):
        raise OSError(f"an image of over {MOST} bytes")
