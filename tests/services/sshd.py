"""Debian's own sshd, with host keys, users' keys and a port of its own."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.services import process

KINDS = ("ed25519", "ecdsa", "rsa")
_CONFIG = """
Port {port}
ListenAddress {address}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {authorized}
MaxStartups 200:30:300
LogLevel VERBOSE
{keys}
"""


@dataclass
class Sshd:
    """A server in *folder*; *keys* are its host keys by kind, as phone-home tells them."""

    folder: Path
    port: int
    address: str
    server: "subprocess.Popen[bytes]"
    kinds: Sequence[str] = KINDS

    @property
    def keys(self) -> dict[str, str]:
        """Its host keys by kind."""
        return {kind: (self.folder / f"{kind}.pub").read_text().strip() for kind in self.kinds}

    def lets_in(self, *lines: str) -> None:
        """Have exactly *lines* be its authorized_keys."""
        (self.folder / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))

    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def sessions(self) -> list[psutil.Process]:
        """The processes of logins that are under way."""
        return psutil.Process(self.server.pid).children(recursive=True)

    def hang_up(self) -> None:
        """Kill whatever speaks to a client, without a word to it."""
        for each in self.sessions():
            with suppress(psutil.NoSuchProcess):
                if each.name() == "sshd":
                    each.send_signal(signal.SIGKILL)


@contextmanager
def running(
    folder: Path,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    netns: str = "",
    extra: str = "",
    words: Sequence[str] = (),
    authorized: str = "",
    kinds: Sequence[str] = KINDS,
) -> Iterator[Sshd]:
    """Run a server for a block, in the network namespace *netns* if one is named.

    *words* begin its command; *authorized* is a file of keys that it heeds instead of its own;
    *kinds* are those of its host keys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or process.free_ports(1)[0]
    for kind in kinds:
        new_key(folder / kind, kind)
    keys = "\n".join(f"HostKey {folder / kind}" for kind in kinds)
    config = folder / "sshd_config"
    authorized = authorized or f"{folder}/authorized_keys"
    text = _CONFIG.format(port=port, address=address, authorized=authorized, keys=keys)
    config.write_text(f"{text}{extra}\n")
    (folder / "authorized_keys").touch()
    Path("/run/sshd").mkdir(exist_ok=True)
    first = ["ip", "netns", "exec", netns] if netns else []
    command = [*first, *words, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
    server = process.launch(command, folder / "sshd.log", env=dict(os.environ))
    made = Sshd(folder, port, address, server, kinds)
    try:
        process.wait_until_ready(server, lambda: _listens(made), folder / "sshd.log", seconds=60)
        yield made
    finally:
        for each in made.sessions():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.stop(server)


def new_key(path: Path, kind: str = "ed25519") -> str:
    """Make a key at *path*, anew, and return its public half."""
    path.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(words, check=True)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def _listens(made: Sshd) -> None:
    if "Server listening" not in made.log():
        raise ConnectionError("it does not listen yet")
    if made.address == "127.0.0.1":
        socket.create_connection((made.address, made.port), timeout=20).close()
