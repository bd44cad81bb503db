"""One `sprout up --rack 1` of the working copy, from nothing to its machine active."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.cli.client import Api
from tests.services import process

LIMIT_S = 1800.0
ACTIVE = "all machines are active"
ENDED = "Ctrl-C stops everything"


@dataclass(frozen=True, slots=True)
class Started:
    """What runs: its supervisor, and the way in."""

    supervisor: subprocess.Popen[bytes]
    api: Api

    def provisioning(self) -> list[dict[str, Any]]:
        """Return the events of the provisioning, as /v1 tells them."""
        (flow,) = (flow for flow in self.api.items("/v1/workflows") if flow["kind"] == "provision")
        return self.api.items(f"/v1/workflows/{flow['id']}/events", limit=500)


@contextmanager
def started(folder: Path, firmware: str, images: Path) -> Iterator[Started]:
    """Sprout in a new data folder below *folder*, its machine active, for the block.

    *images* keeps the built image between blocks.  Raises NotReady with the end of what was said.
    """
    data, log = folder / "data", folder / "up.log"
    data.mkdir(parents=True)
    images.mkdir(exist_ok=True)
    (data / "image-cache").symlink_to(images)
    (port,) = process.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPROUT_")}
    env |= {"SPROUT_DATA_DIR": str(data), "SPROUT_BIND": f"127.0.0.1:{port}"}
    code = "import sys; from edge.cli.main import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "up", "--rack", "1", "--firmware", firmware]
    supervisor = process.launch(command, log, env=env | {"SPROUT_API_URL": url})
    try:
        process.wait_until_ready(supervisor, lambda: _ended(log), log, seconds=LIMIT_S)
        if ACTIVE not in log.read_text():
            raise process.NotReady(log.read_text()[-3000:])
        token = json.loads((data / "secrets.json").read_text())["admin_token"]
        yield Started(supervisor, Api(url, token))
    finally:
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)


def _ended(log: Path) -> None:
    if ENDED not in log.read_text():
        raise ConnectionError
