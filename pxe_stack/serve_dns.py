"""The site's DNS process: a function that blocks until SIGTERM."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from pxe_stack import sockets
from pxe_stack.dns_hosts import Keeper, LeasedHosts, PlannedHosts
from pxe_stack.dns_server import DnsServer
from pxe_stack.dns_zone import BOOT, SERVER, Host, is_address
from pxe_stack.site_directory import Stores

if TYPE_CHECKING:
    from pxe_stack.serve import Site

log = structlog.get_logger()


def dns(site: "Site") -> None:
    """Answer DNS for the site's domain.  Raises OSError when a socket cannot be had."""
    stop = sockets.stop_signal()
    if site.netns is not None:
        sockets.enter(site.netns)  # for good: each forwarded question has a socket of its own
    address = site.dns_address or ""
    udp = sockets.udp(address, site.dns_port)
    listener = sockets.tcp(address, site.dns_port)
    stores = Stores(site.directory, site.agent)
    sources = (PlannedHosts(site.directory), LeasedHosts(site.directory))
    names = Keeper(site.domain, _own_names(site), sources)

    def keep(counts: Mapping[str, int]) -> None:
        stores.journal.count(counts)
        stores.journal.flush()

    server = DnsServer(udp, listener, names, keep, forward=site.dns_forward)
    stores.journal.mark_ready("dns")
    log.info("dns.ready", address=address, port=site.dns_port, domain=site.domain)
    server.run(stop)
    server.close()
    stores.close()


def _own_names(site: "Site") -> list[Host]:
    """Return the site's own names: where machines boot from, and who says so."""
    boot = urlsplit(site.boot_url).hostname or ""
    given = {BOOT: boot, SERVER: site.dns_address or ""}
    return [Host(name, address) for name, address in given.items() if is_address(address)]
