"""The canary on a timer: a process of its own each time, whose outcome is an observation."""

import json
import subprocess
import sys
import threading
import time
from typing import Any, Final

import structlog

from models.checks import Check
from models.observations import Observation, Seen, Source
from pxe_stack.store import JournalStore

COMMAND: Final = (sys.executable, "-m", "actors.site", "--check", "--json")
FIRST_S: Final = 60.0
"""After the start of a site, when its services have come up."""
LIMIT_S: Final = 120.0
TELL_S: Final = 3600.0
"""How often a check is told at least; one that found anything else is told at once."""

log = structlog.get_logger()


class Checks:
    """Checks every *every_s* seconds; *command* prints a report as JSON."""

    def __init__(
        self, journal: JournalStore, every_s: float, command: tuple[str, ...] = COMMAND
    ) -> None:
        self._journal = journal
        self._every_s = every_s
        self._command = command
        self._told: object = None
        self._told_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Check until *stop* is set."""
        wait = min(FIRST_S, self._every_s)
        while not stop.wait(wait):
            self.check()
            wait = self._every_s

    def check(self) -> None:
        """Check once, and tell what was found if that is news."""
        data = self._report()
        outcome = Check.of(data).outcome
        due = time.monotonic() - self._told_at >= TELL_S
        if outcome == self._told and not due:
            return
        self._told, self._told_at = outcome, time.monotonic()
        self._journal.append(
            Observation(kind=Seen.SITE_CHECKED, source=Source.AGENT, at=time.time(), data=data)
        )

    def _report(self) -> dict[str, Any]:
        try:
            done = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
            report: dict[str, Any] = json.loads(done.stdout)
            Check.of(report)
        except (OSError, subprocess.SubprocessError, KeyError, TypeError, ValueError) as exc:
            log.warning("check.failed", why=str(exc))
            return _impossible(str(exc))
        return report


def _impossible(why: str) -> dict[str, Any]:
    finding = {"client": "all", "what": "check", "level": "failed", "detail": why[:300]}
    return {"ok": False, "findings": [finding], "foreign": []}
