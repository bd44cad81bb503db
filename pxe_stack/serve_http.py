"""The site's two processes of boot HTTP (see http_server), each until SIGTERM."""

import os
import socket
from typing import TYPE_CHECKING, Final

import structlog

from pxe_stack import http_server, sockets
from pxe_stack.boot_sources import Defer, Sources
from pxe_stack.loaders import Loaders
from pxe_stack.reports import FOLDER, Reports
from pxe_stack.site_directory import Stores

if TYPE_CHECKING:
    from pxe_stack.serve import Site

log = structlog.get_logger()

FILES_NICE: Final = 5
"""By how much whatever else the site does goes before files, where processors are few."""


def http(site: "Site") -> None:
    """Serve scripts, seeds, metadata and callbacks.  Raises OSError when the port is taken."""
    listener = sockets.made_in(site.netns, lambda: sockets.tcp(site.boot_address, site.boot_port))
    log.info("http.ready", address=site.boot_address, port=site.boot_port)
    _serve(site, "http", listener)
    listener.close()


def files(site: "Site") -> None:
    """Send artifacts and loaders over the connections that boot HTTP hands over."""
    os.nice(FILES_NICE)
    _serve(site, "files", None)


def _serve(site: "Site", service: str, listener: socket.socket | None) -> None:
    stop = sockets.stop_signal()
    stores = Stores(site.directory, site.agent)

    def sources(defer: Defer) -> Sources:
        return Sources(
            directory=stores.directory,
            journal=stores.journal,
            loaders=Loaders(site.loader_dirs),
            key=site.key,
            boot_url=site.boot_url,
            dhcp_on=site.dhcp_on,
            defer=defer,
            reports=Reports(site.directory / FOLDER),
        )

    server = http_server.Server(
        sources, stores.journal, site.directory, listener=listener, proxies=site.boot_proxies
    )
    stores.journal.mark_ready(service)
    server.run(stop)
    stores.close()
