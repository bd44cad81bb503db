"""A real Kea: its DHCPv4 server and its control agent, on a port of loopback."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import process

USER, PASSWORD = "sprout", "kea-password-canary"


@dataclass(frozen=True, slots=True)
class Kea:
    """*url* is of the control agent."""

    url: str
    folder: Path

    def written(self) -> dict[str, Any]:
        """Return the configuration that lies in its file."""
        found: dict[str, Any] = json.loads((self.folder / "dhcp4.json").read_text())["Dhcp4"]
        return found


@contextmanager
def running(
    folder: Path, *subnets: dict[str, Any], netns: str = "", interfaces: tuple[str, ...] = ()
) -> Iterator[Kea]:
    """Both servers for the block; *subnets* as Kea has them in `subnet4`.

    The DHCPv4 server lives in *netns*, where that is given, and listens on *interfaces* there.
    """
    (port,) = process.free_ports(1)
    dhcp = _written(folder / "dhcp4.json", _dhcp(folder, subnets, interfaces))
    agent = _written(folder / "agent.json", _agent(folder, port))
    env = os.environ | {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
    env |= {"KEA_CONTROL_SOCKET_DIR": str(folder)}
    log = folder / "kea.log"
    inside = ["ip", "netns", "exec", netns] if netns else []
    server = process.launch([*inside, "kea-dhcp4", "-c", dhcp], log, env=env)
    speaker = process.launch(["kea-ctrl-agent", "-c", agent], log, env=env)
    try:
        process.wait_until_ready(server, lambda: _connects(folder / "dhcp4.sock"), log, seconds=60)
        process.wait_until_ready(speaker, lambda: _listens(port), log, seconds=60)
        yield Kea(f"http://127.0.0.1:{port}", folder)
    finally:
        process.stop(speaker)
        process.stop(server)


def _dhcp(
    folder: Path, subnets: tuple[dict[str, Any], ...], interfaces: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "Dhcp4": {
            "interfaces-config": {"interfaces": list(interfaces), "dhcp-socket-type": "raw"},
            "control-socket": {"socket-type": "unix", "socket-name": str(folder / "dhcp4.sock")},
            "lease-database": {"type": "memfile", "persist": False},
            "subnet4": list(subnets),
            "loggers": [_logger("kea-dhcp4")],
        }
    }


def _agent(folder: Path, port: int) -> dict[str, Any]:
    socket_of = {"socket-type": "unix", "socket-name": str(folder / "dhcp4.sock")}
    return {
        "Control-agent": {
            "http-host": "127.0.0.1",
            "http-port": port,
            "authentication": {
                "type": "basic",
                "realm": "kea",
                "clients": [{"user": USER, "password": PASSWORD}],
            },
            "control-sockets": {"dhcp4": socket_of},
            "loggers": [_logger("kea-ctrl-agent")],
        }
    }


def _logger(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "WARN", "output_options": [{"output": "stderr"}]}


def _written(path: Path, config: dict[str, Any]) -> str:
    path.write_text(json.dumps(config))
    return str(path)


def _connects(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))


def _listens(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()
