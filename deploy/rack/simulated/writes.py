"""Every write that the BMCs received, in one file that only grows: what tests count.

A BMC knows no epochs and no tasks: it can say only when who asked it for what.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SECRET: Final = "/Sessions"  # noqa: S105 - the end of a path


@dataclass(frozen=True, slots=True)
class Write:
    """One request; *at* is in seconds since the epoch, *body* what its JSON was, or its text."""

    at: float
    machine: str
    method: str
    path: str
    body: Any = None

    @property
    def governs(self) -> bool:
        """Whether it was for the machine, not for a session of the BMC."""
        return "/Sessions" not in self.path


class Writes:
    """The log; each line is in the file before the write is answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        os.close(self._handle)

    def note(self, machine: str, method: str, path: str, body: bytes) -> None:
        """Add a line, unless *method* only reads."""
        if method in READS:
            return
        line = {
            "at": time.time(),
            "machine": machine,
            "method": method,
            "path": path,
            # A login's body is a password.
            "body": None if path.rstrip("/").endswith(_SECRET) else _readable(body),
        }
        os.write(self._handle, json.dumps(line).encode() + b"\n")


def read(path: Path) -> list[Write]:
    """Return what is in the log at *path*, oldest first; a line half written is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = (json.loads(line) for line in lines if line.endswith("\n"))
    return [Write(**_known(line)) for line in whole]


def _known(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in Write.__dataclass_fields__}


def _readable(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text[:1000]
