"""The site's serving processes, each a function that blocks until SIGTERM.

Each is the body of a forked child: it opens its own stores, makes its sockets in the site's
namespace, and says in the journal when it serves.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication

from pxe_stack import http as boot_http
from pxe_stack import sockets
from pxe_stack.dns_forward import DNS_PORT
from pxe_stack.loaders import Loaders
from pxe_stack.serve_dhcp import DHCP_PORT, dhcp
from pxe_stack.serve_dns import dns
from pxe_stack.serve_tftp import tftp
from pxe_stack.site_directory import Stores

__all__ = ["Site", "dhcp", "dns", "http", "tftp"]

log = structlog.get_logger()


TFTP_PORT: Final = 69
HTTP_PORT: Final = 8081


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site's boot plane.

    *directory* holds plans.db, journal.db and agent.sock; *key* is the site key that tokens are
    derived from; *netns* is the name (or path) of the network namespace that sockets are made in;
    *boot_url* is boot HTTP as machines see it, without a slash at its end.  DHCP is off without
    *dhcp_interface* and *dhcp_address*, TFTP without an address.
    """

    directory: Path
    agent: UUID
    key: bytes = field(repr=False)
    boot_url: str
    boot_address: str = "0.0.0.0"  # noqa: S104 - machines come by any interface of the site
    boot_port: int = HTTP_PORT
    netns: str | None = None
    dhcp_interface: str | None = None
    dhcp_address: str | None = None
    tftp_address: str | None = None
    dns_address: str | None = None
    loader_dirs: tuple[Path, ...] = (Path("/usr/lib/ipxe"), Path("/boot"))
    dhcp_port: int = DHCP_PORT
    tftp_port: int = TFTP_PORT
    dns_port: int = DNS_PORT
    dns_forward: tuple[str, ...] = ()
    domain: str = "provisioning.sprout.local"
    http_threads: int = 16

    @property
    def dhcp_on(self) -> bool:
        """Whether this site answers DHCP."""
        return self.dhcp_interface is not None and self.dhcp_address is not None

    @property
    def tftp_on(self) -> bool:
        """Whether this site serves loaders over TFTP."""
        return self.tftp_address is not None


def http(site: Site) -> None:
    """Serve scripts, seeds, callbacks and artifacts.  Raises OSError when the port is taken."""
    listener = sockets.made_in(site.netns, lambda: sockets.tcp(site.boot_address, site.boot_port))
    log.info("http.ready", address=site.boot_address, port=site.boot_port)
    _Gunicorn(site, listener).run()


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn inside this process: one worker of threads, on a socket that is already bound."""

    def __init__(self, site: Site, listener: socket.socket) -> None:
        self._site = site
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": self._site.http_threads,
            "keepalive": 15,
            "graceful_timeout": 3,
            "control_socket_disable": True,
            "accesslog": None,
            "loglevel": "warning",
            "worker_tmp_dir": "/dev/shm",  # noqa: S108 - heartbeats must not wait for a disk
            "limit_request_line": 2048,
            "limit_request_fields": 64,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application inside the worker, which owns its own stores."""
        stores = Stores(self._site.directory, self._site.agent)
        made = boot_http.app(
            boot_http.Sources(
                directory=stores.directory,
                journal=stores.journal,
                loaders=Loaders(self._site.loader_dirs),
                key=self._site.key,
                boot_url=self._site.boot_url,
                dhcp_on=self._site.dhcp_on,
            )
        )
        stores.journal.mark_ready("http")
        return made
