"""A real PowerDNS with zones of its own, on ports of loopback."""

import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import process

KEY = "powerdns-key-canary"
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")


@dataclass(frozen=True, slots=True)
class PowerDns:
    """*url* is of its API, *port* is where it answers names."""

    url: str
    port: int
    folder: Path

    def util(self, *words: str) -> str:
        """Return what `pdnsutil` says."""
        command = ["pdnsutil", "--config-dir", str(self.folder), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def running(folder: Path, *zones: str) -> Iterator[PowerDns]:
    """The server for the block, authoritative for *zones*."""
    dns_port, api_port = process.free_ports(2)
    _configured(folder, dns_port, api_port)
    made = PowerDns(f"http://127.0.0.1:{api_port}", dns_port, folder)
    for zone in zones:
        made.util("create-zone", zone, f"ns.{zone}")
    log = folder / "pdns.log"
    child = process.launch(["pdns_server", f"--config-dir={folder}"], log)
    try:
        process.wait_until_ready(child, lambda: _asked(api_port), log, seconds=60)
        yield made
    finally:
        process.stop(child)


def _asked(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()


def _configured(folder: Path, dns_port: int, api_port: int) -> None:
    data = folder / "pdns.sqlite3"
    with closing(sqlite3.connect(data)) as connection:
        connection.executescript(SCHEMA.read_text())
    lines = {
        "launch": "gsqlite3",
        "gsqlite3-database": data,
        "local-address": "127.0.0.1",
        "local-port": dns_port,
        "api": "yes",
        "api-key": KEY,
        "webserver": "yes",
        "webserver-address": "127.0.0.1",
        "webserver-port": api_port,
        "socket-dir": folder,
        "guardian": "no",
        "daemon": "no",
        "cache-ttl": 0,
        "query-cache-ttl": 0,
        "negquery-cache-ttl": 0,
        "zone-cache-refresh-interval": 0,
        "security-poll-suffix": "",
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    (folder / "pdns.conf").write_text(text)
