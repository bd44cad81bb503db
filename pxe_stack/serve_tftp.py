"""The site's process of TFTP, or one of several that share the port, until SIGTERM."""

import resource
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from models.observations import Source
from pxe_stack import sockets, tftp_sockets
from pxe_stack.boot_sources import Sources
from pxe_stack.loaders import Loaders
from pxe_stack.site_directory import Stores
from pxe_stack.tftp import Server
from pxe_stack.tftp_contract import Contract
from pxe_stack.tftp_reports import Reports

if TYPE_CHECKING:
    from pxe_stack.serve import Site

log = structlog.get_logger()


def tftp(site: "Site") -> None:
    """Serve loaders over TFTP.  Raises OSError when the socket cannot be had."""
    stop = sockets.stop_signal()
    if site.netns is not None:
        sockets.enter(site.netns)  # for good: every transfer has a socket of its own
    _allow_sockets()
    listener = tftp_sockets.listening(
        site.tftp_address or "", site.tftp_port, shared=site.tftp_processes > 1
    )
    stores, counts = Stores(site.directory, site.agent), Counter[str]()
    reports = Reports(stores, counts)
    loaders = Loaders(site.loader_dirs)
    contract = Contract(_sources(site, stores, reports, loaders))
    server = Server(listener, loaders, reports.tell, counts, contract=contract)
    stores.journal.mark_ready("tftp")
    log.info("tftp.ready", address=site.tftp_address)
    try:
        server.run(stop)
    finally:
        server.close()
        reports.close()
        stores.close()


def _sources(site: "Site", stores: Stores, reports: Reports, loaders: Loaders) -> Sources:
    return Sources(
        directory=stores.directory,
        journal=reports,
        loaders=loaders,
        key=site.key,
        boot_url=site.boot_url,
        dhcp_on=site.dhcp_on,
        source=Source.TFTP,
    )


def _allow_sockets() -> None:
    """Raise the limit of open files to what this process may have: each transfer is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
