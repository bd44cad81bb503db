"""What a machine wrote to its serial port, over all its boots."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

_LOOK_EVERY: Final = 0.05


class NotSeen(TimeoutError):
    """The text did not come in time; the message ends with what came instead."""


@dataclass(frozen=True, slots=True)
class SerialLog:
    path: Path

    def read(self, after: int = 0) -> str:
        """Return the log from byte *after* on; empty when the machine never ran."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as log:
            log.seek(after)
            return log.read().decode("ascii", "replace")

    def end(self) -> int:
        """Return the log's length in bytes: the *after* of what comes next."""
        return self.path.stat().st_size if self.path.exists() else 0

    def wait_for(self, text: str, timeout: float = 60.0, *, after: int = 0) -> int:
        """Wait up to *timeout* seconds for *text* behind byte *after*; return where it ends.

        Raise NotSeen when it does not come.
        """
        until = monotonic() + timeout
        never = Event()
        while (found := self.read(after).find(text)) < 0:
            if monotonic() > until:
                raise NotSeen(f"{text!r} not in {self.path}: …{self.read(after)[-400:]!r}")
            never.wait(_LOOK_EVERY)
        return after + found + len(text)
