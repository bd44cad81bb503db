"""The site's DHCP process, until SIGTERM."""

import gc
import socket
import sys
from typing import TYPE_CHECKING, Final

import structlog

from pxe_stack import firmware, sockets
from pxe_stack.dhcp_boot import Server
from pxe_stack.dhcp_ears import Ear, shared
from pxe_stack.dhcp_probe import Prober
from pxe_stack.dhcp_server import DhcpServer, Wire
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Share
from pxe_stack.loaders import Loaders
from pxe_stack.packets import PROXY_PORT, SERVER_PORT
from pxe_stack.site_directory import Stores

if TYPE_CHECKING:
    from pxe_stack.serve import Site

log = structlog.get_logger()

DHCP_PORT: Final = SERVER_PORT
ALONE: Final = Share()


def dhcp(site: "Site", index: int = 0) -> None:
    """Answer DHCP on the site's interface, as the process with *index* of the site's several.

    Raises OSError when the socket cannot be had.
    """
    share = Share(index, site.dhcp_processes)
    stop = sockets.stop_signal()
    wire = sockets.made_in(site.netns, lambda: _wire(site, share))
    address = site.dhcp_address or ""
    loaders = Loaders(site.loader_dirs)
    told = Server(
        address=address,
        tftp=site.tftp_address or address,
        boot_url=site.boot_url,
        key=site.key,
        chains=firmware.chains(loaders.names(), loaders.over_http()),
        beside=firmware.beside(loaders.names()),
    )
    stores = Stores(site.directory, site.agent)
    server = DhcpServer(wire, stores, told, LeaseStore(site.directory, share))
    _spare_the_long_lived()
    _yield_to_packets()
    log.info("dhcp.ready", interface=site.dhcp_interface, address=site.dhcp_address)
    server.run(stop)
    server.close()


def _spare_the_long_lived() -> None:
    """Look for garbage among what is young: leases are many, live long, and hold no cycle."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000)


def _yield_to_packets() -> None:
    """Have the thread that writes notes give way sooner than Python's 5 ms."""
    sys.setswitchinterval(0.0005)


def _wire(site: "Site", share: Share) -> Wire:
    ears = [_ear(site, site.dhcp_port, share)]
    if site.dhcp_port == DHCP_PORT:  # clients know no other: beside another there is no 4011
        ears.append(_ear(site, PROXY_PORT, share))
    return Wire(
        ears=tuple(ears),
        interface=site.dhcp_interface or "",
        prober=_prober(site),
        probe_s=site.dhcp_probe_s,
    )


def _prober(site: "Site") -> Prober | None:
    if site.dhcp_interface is None or site.dhcp_probe_s <= 0:
        return None
    try:
        return Prober(site.dhcp_interface)
    except OSError as exc:
        log.warning("dhcp.unprobed", interface=site.dhcp_interface, reason=str(exc))
        return None


def _ear(site: "Site", port: int, share: Share) -> Ear:
    service = PROXY_PORT if port == PROXY_PORT else SERVER_PORT
    sock = bound(site, port)
    if share.count == 1:
        return Ear(sock, service)
    return shared(sock, port, share, site.dhcp_interface)


def bound(site: "Site", port: int) -> socket.socket:
    """Return a socket for *port* of the site's interface, or of its address where that is all."""
    try:
        # Broadcasts come to no address of ours.
        return sockets.udp("0.0.0.0", port, interface=site.dhcp_interface)  # noqa: S104
    except PermissionError:
        # Who may not choose an interface (old kernels, some containers) still serves relays.
        sock = sockets.udp(site.dhcp_address or "", port)
        log.warning("dhcp.relays-only", interface=site.dhcp_interface, address=site.dhcp_address)
        return sock
