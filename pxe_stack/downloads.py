"""Rows for artifact downloads: the first request, the last, and one now and then between.

A disk image is fetched in a thousand ranges; a row for each would bury the timeline.  Pure: the
caller has the clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

NOTE_S: Final = 30.0
FORGET_S: Final = 900.0
MOST: Final = 4096


@dataclass(slots=True)
class _Download:
    begun: float
    noted: float
    bytes: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a row says: *bytes* handed over in *requests*, over *seconds*; *whole*: to the end."""

    bytes: int
    requests: int
    seconds: float
    whole: bool


@dataclass
class Downloads:
    """The downloads under way, by client and path."""

    _under_way: dict[Hashable, _Download] = field(default_factory=dict)

    def take(
        self, key: Hashable, *, size: int, start: int, length: int, now: float
    ) -> Summary | None:
        """Count a request for *length* bytes from *start* of *size*; return a row when due."""
        download = self._under_way.get(key)
        first = download is None
        if download is None:
            self._forget(now)
            download = self._under_way[key] = _Download(begun=now, noted=now)
        download.bytes += length
        download.requests += 1
        whole = start + length >= size
        if not (first or whole or now - download.noted >= NOTE_S):
            return None
        download.noted = now
        if whole:
            del self._under_way[key]
        return Summary(download.bytes, download.requests, now - download.begun, whole)

    def _forget(self, now: float) -> None:
        if len(self._under_way) < MOST:
            return
        for key in [k for k, d in self._under_way.items() if now - d.noted > FORGET_S]:
            del self._under_way[key]
        while len(self._under_way) >= MOST:
            del self._under_way[next(iter(self._under_way))]
