"""What the figures of jobs are taken on: PostgreSQL, the edge and control, each as its process."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from models import database
from models.migrations import runner
from tests.actors.control_process import ControlProcess
from tests.edge.conftest import TOKEN, serving, variables
from tests.services import postgres

LOOK_S = 0.05


@dataclass
class World:
    """A running edge; *url* is where it is."""

    url: str
    database_url: str
    control: ControlProcess

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._asked("POST", path, json=body)

    def get(self, path: str) -> Any:
        return self._asked("GET", path)

    def ended(self, path: str, seconds: float) -> Any:
        """Return what *path* shows when it has neither to wait nor to run any more."""
        pause = threading.Event()
        for _ in range(int(seconds / LOOK_S)):
            found = self.get(path)
            if found["state"] not in {"waiting", "running"}:
                return found
            pause.wait(LOOK_S)
        raise TimeoutError(f"{path}: {found}")

    def _asked(self, method: str, path: str, **how: Any) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.request(method, f"{self.url}{path}", headers=headers, timeout=60, **how)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """A world in *folder*, for the block."""
    for each in ("edge", "control"):
        (folder / each).mkdir(parents=True)
    with postgres.running() as cluster:
        url = cluster.fresh_database()
        database.configure(url, connections=4)
        runner.migrate()
        settings = variables(url, folder / "edge") | {"SPROUT_DATA_DIR": str(folder / "edge")}
        os.environ.pop("SPROUT_BROKER", None)
        control = ControlProcess(
            folder / "control", url, url, SPROUT_OUTBOUND_ALLOW="127.0.0.1", SPROUT_SECRET_X="x" * 9
        )
        with serving(settings, folder / "edge") as edge:
            control.start()
            try:
                yield World(edge.url, url, control)
            finally:
                control.end()
                database.database.close_all()
