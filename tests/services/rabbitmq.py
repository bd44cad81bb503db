"""A real RabbitMQ node from Debian's package, with an epmd of its own.

Its own epmd, because the machine's may belong to anybody: a node that finds none on its port
starts one that outlives it.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pika
from pika.exceptions import AMQPError

from config.tls import Credentials
from tests.services import process

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
START_S = 60.0
# Few schedulers that do not spin: a node shares its machine with the rest of the tests.
ERL_ARGS = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"

HEARD = "log.console = true\nlog.console.level = notice\n"
"""Has a node say at once whom it refused and why: to its file it writes when it likes."""


@dataclass
class RabbitMQ:
    """One node: its URL stays the same over restarts."""

    folder: Path
    port: int
    dist_port: int
    epmd_port: int
    admin_port: int = 0
    tls_port: int = 0
    node: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def tls_url(self) -> str:
        """The same by TLS, if credentials were given: only who shows a certificate gets in."""
        return f"amqps://guest:guest@localhost:{self.tls_port}/%2F"

    @property
    def log(self) -> Path:
        return self.folder / "rabbitmq.out"

    @property
    def admin_url(self) -> str:
        """Where the management API is, if it was asked for."""
        return f"http://guest:guest@127.0.0.1:{self.admin_port}"

    def start(self) -> None:
        """Start the node and return when it accepts an AMQP login."""
        self.node = process.launch([SERVER], self.log, env=self._environment())
        process.wait_until_ready(self.node, self._login, self.log, seconds=START_S)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.node is not None:
            process.stop(self.node, how=how)
            self.node = None

    def has_written_down(self, queue: str) -> bool:
        """Whether a node that is killed now would know *queue*, a quorum queue, when it is back.

        It writes the name down half a second after it has confirmed the queue (`_bounded` in
        actors/broker_rabbitmq.py says what happens otherwise).
        """
        files = self.folder.glob("mnesia/*/quorum/*/names.dets")
        return any(f"_{queue}".encode() in each.read_bytes() for each in files)

    def _environment(self) -> dict[str, str]:
        names = {
            "NODENAME": f"sprout{self.port}@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(self.dist_port),
            "MNESIA_BASE": str(self.folder / "mnesia"),
            "LOG_BASE": str(self.folder / "log"),
            "PID_FILE": str(self.folder / "rabbitmq.pid"),
            "ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "SERVER_ADDITIONAL_ERL_ARGS": ERL_ARGS,
        }
        erlang = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        return {f"RABBITMQ_{name}": value for name, value in names.items()} | erlang

    def _login(self) -> None:
        socket.create_connection(("127.0.0.1", self.port)).close()  # says no more quietly than pika
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except AMQPError as exc:
            raise ConnectionError(str(exc)) from exc


@contextmanager
def running(
    folder: Path, *, management: bool = False, tls: Credentials | None = None
) -> Iterator[RabbitMQ]:
    """A node for the block: guest/guest, virtual host ``/``, nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    port, dist_port, epmd_port, admin_port, tls_port = process.free_ports(5)
    plugins = "rabbitmq_management" if management else ""
    (folder / "enabled_plugins").write_text(f"[{plugins}].\n")
    admin = f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {admin_port}\n"
    told = "log.file.level = warning\n" + (admin if management else "")
    told += _listening(tls_port, tls) + HEARD if tls else ""
    (folder / "rabbitmq.conf").write_text(told)
    epmd = process.launch(
        ["/usr/bin/epmd", "-port", str(epmd_port), "-address", "127.0.0.1"],
        folder / "epmd.out",
        env={"PATH": os.environ["PATH"]},
    )
    server = RabbitMQ(folder, port, dist_port, epmd_port, admin_port, tls_port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        process.stop(epmd)


def _listening(port: int, tls: Credentials) -> str:
    """Return the lines of `rabbitmq.conf` that README tells operators to write."""
    return f"""\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {tls.ca}
ssl_options.certfile = {tls.cert}
ssl_options.keyfile = {tls.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
