"""The product as one provisioning.yaml runs it: `sprout up --config`, on loopback."""

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.edge.live import TOKEN
from tests.services import process

ROOT = Path(__file__).parents[2]
RUN = "import sys; from edge.cli.main import run; sys.argv[0] = 'sprout'; run()"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
TYPES = "ms-01:\n  display_name: MS-01\n  boot_disk: nvme0n1\n  management_nic: enp2s0\n"
FILE = """\
server:
  public_url: http://127.0.0.1:{port}
  bind: 127.0.0.1:{port}
  data_dir: state
pxe:
  enabled: false
  subnet: {subnet}
credentials:
  root_password_hash: '$6$salt$hash'
"""
SUBNET = "192.168.77.0/24"


def write(folder, port=8080, subnet=SUBNET):
    """Write a provisioning.yaml, and its server types, into *folder*; return its path."""
    (folder / "server-types.yaml").write_text(TYPES)
    path = folder / "provisioning.yaml"
    path.write_text(FILE.format(port=port, subnet=subnet))
    return path


class Called:
    """The product that runs, as whoever has its data folder calls it."""

    def __init__(self, url, started, log):
        self.url = url
        self.process = started
        self.log = log

    def get(self, path):
        return requests.get(f"{self.url}{path}", headers=ADMIN, timeout=60)

    def send(self, method, path, body=None, data=None):
        return requests.request(
            method, f"{self.url}{path}", json=body, data=data, headers=ADMIN, timeout=60
        )

    def post(self, path, body=None):
        return self.send("POST", path, body)

    def takes_hosts(self):
        """Raise OSError until the site is registered, and its network."""
        if not self.get("/v1/networks").json().get("items"):
            raise ConnectionError("no network yet")

    def welcomes(self):
        """Raise OSError until it says that hosts are served."""
        if " serves hosts: " not in self.log.read_text():
            raise ConnectionError("no welcome yet")


@contextmanager
def running(folder: Path, subnet: str = SUBNET) -> Iterator[Called]:
    """Run the product from a file in *folder* until the block ends; it takes hosts."""
    [port] = process.free_ports(1)
    words = [sys.executable, "-c", RUN, "up", "--config", str(write(folder, port, subnet))]
    with started(words, folder, port) as api:
        yield api


@contextmanager
def started(words: list[str], folder: Path, port: int, **more: str) -> Iterator[Called]:
    """Run *words*, the product at *port*, in *folder* until the block ends; *more*: variables."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "SPROUT_ADMIN_TOKEN_HASH": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "SPROUT_API_TOKEN": TOKEN,
        "SPROUT_BROKER": "postgres",
        "SPROUT_BOOT_BIND_ADDR": "127.0.0.1",
        "SPROUT_BOOT_PORT": str(process.free_ports(1)[0]),
    }
    log = folder / "up.log"
    launched = process.launch(words, log, env=env | more, cwd=folder)
    api = Called(f"http://127.0.0.1:{port}", launched, log)
    try:
        process.wait_until_ready(launched, api.takes_hosts, log, seconds=180)
        yield api
    finally:
        process.stop(launched, how=signal.SIGINT)
