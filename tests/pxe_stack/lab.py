"""Two network namespaces joined by a veth pair, and the real serving processes in one of them."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pxe_stack.serve import Site
from pxe_stack.site_directory import Stores
from tests.services import process

PREFIX = "sprout-px"
SERVER_ADDRESS = "10.77.0.1"
ROOT = Path(__file__).parents[2]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def sweep() -> None:
    """Remove what test runs that were killed have left: namespaces whose maker is gone."""
    for folder in Path("/run/netns").glob(f"{PREFIX}-*"):
        maker = folder.name.split("-")[2]
        if not Path(f"/proc/{maker}").exists():
            subprocess.run(["ip", "netns", "del", folder.name], check=False)


@dataclass
class Lab:
    """*servers* and *clients* are namespaces; the clients' end of the wire is called `c0`."""

    servers: str
    clients: str
    folder: Path

    def run(self, *words: str, **options) -> subprocess.CompletedProcess[str]:
        """Run a command among the clients and return how it went."""
        command = ["ip", "netns", "exec", self.clients, *words]
        given = {"capture_output": True, "text": True, "timeout": 60, "cwd": self.folder}
        return subprocess.run(command, check=False, **given | options)

    def give_address(self, address: str = "10.77.0.21/24") -> None:
        ip("-n", self.clients, "addr", "replace", address, "dev", "c0")


@contextmanager
def lab(folder: Path, number: int = 0) -> Iterator[Lab]:
    name = f"{PREFIX}-{os.getpid()}-{number}"
    made = Lab(f"{name}s", f"{name}c", folder)
    with ExitStack() as stack:
        for space in (made.servers, made.clients):
            ip("netns", "add", space)
            stack.callback(subprocess.run, ["ip", "netns", "del", space], check=False)
            ip("-n", space, "link", "set", "lo", "up")
        ip("-n", made.servers, "link", "add", "s0", "type", "veth", "peer", "c0")
        ip("-n", made.servers, "link", "set", "c0", "netns", made.clients)
        ip("-n", made.clients, "link", "set", "c0", "address", "52:54:00:00:00:01")
        ip("-n", made.servers, "addr", "add", f"{SERVER_ADDRESS}/24", "dev", "s0")
        ip("-n", made.servers, "link", "set", "s0", "up")
        ip("-n", made.clients, "link", "set", "c0", "up")
        yield made


@dataclass
class Boot:
    """A site that serves; *stores* are its files, as its agent would open them."""

    site: Site
    stores: Stores
    processes: dict[str, subprocess.Popen[bytes]]
    folder: Path

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")

    def rows(self, kind) -> list:
        return [seen for _, seen in self.stores.journal.pending(0, 100_000) if seen.kind is kind]

    def wait_for(self, kind, count: int = 1) -> list:
        """Return the rows of *kind* once there are *count*."""
        until(lambda: len(self.rows(kind)) >= count)
        return self.rows(kind)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when *true* is; it is looked at often, and its end is what is waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.01)


@contextmanager
def serving(site: Site, *services: str) -> Iterator[Boot]:
    """The real processes of *site* for the block, ended by SIGTERM as a supervisor would."""
    stores = Stores(site.directory, site.agent)
    stores.journal.begin()
    boot = Boot(site, stores, {}, site.directory)
    try:
        for service in services:
            command = [sys.executable, "-m", "tests.pxe_stack.lab", service, _written(site)]
            boot.processes[service] = process.launch(
                command, site.directory / f"{service}.log", cwd=ROOT
            )
        until(lambda: set(services) <= set(stores.journal.ready_services()))
        yield boot
    finally:
        for child in boot.processes.values():
            child.terminate()
        for child in boot.processes.values():
            process.stop(child) if _lives(child) else None
        stores.close()


def _lives(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        return True
    return False


def _written(site: Site) -> str:
    given = dataclasses.asdict(site)
    given["key"] = site.key.decode()
    return json.dumps(given, default=str)


def _read(text: str) -> Site:
    given = json.loads(text)
    given |= {
        "directory": Path(given["directory"]),
        "agent": UUID(given["agent"]),
        "key": given["key"].encode(),
        "loader_dirs": tuple(map(Path, given["loader_dirs"])),
        "dns_forward": tuple(given["dns_forward"]),
    }
    return Site(**given)


if __name__ == "__main__":
    from config import logs
    from pxe_stack import serve

    logs.configure("DEBUG", "json", sys.argv[1])
    getattr(serve, sys.argv[1])(_read(sys.argv[2]))
