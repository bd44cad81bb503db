"""`python -m actors.control` as a process, on real servers."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.rack import netns as netns_of
from models.database import borrowed
from models.tables import Errand
from tests.actors.lane import until

RESTART_S = 0.2
"""Seconds between two tries of a consumer to connect."""


class ControlProcess:
    """One control process; its log lies in *folder*, its network in *netns* if one is named."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        broker_url: str,
        *,
        netns: str = "",
        **settings: str,
    ) -> None:
        self._within = netns_of.command(netns) if netns else []
        self.log = folder / f"control-{len(list(folder.glob('control-*')))}.log"
        self._env = os.environ | {
            "SPROUT_DATA_DIR": str(folder),
            "SPROUT_DATABASE_URL": database_url,
            "SPROUT_BROKER": "postgres" if broker_url == database_url else broker_url,
            # dramatiq's own name for it, in milliseconds.
            "dramatiq_restart_delay": str(int(RESTART_S * 1000)),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it works."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._within, sys.executable, "-m", "actors.control"],
                env=self._env,
                stdout=log,
                stderr=log,
            )
        until(lambda: "worker.started" in self.events())

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(60)

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def lines(self) -> list[dict[str, object]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines()]


def lease_over() -> None:
    """Let the time pass after which what a dead process held is another's."""
    then = datetime.now(UTC) - timedelta(seconds=1)
    with borrowed():
        Errand.update(wake_at=then).where(Errand.state == "running").execute()
