"""The site's serving processes, each a function that blocks until SIGTERM.

Each is the body of a forked child: it opens its own stores, makes its sockets in the site's
namespace, and says in the journal when it serves.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from pxe_stack.dns_forward import DNS_PORT
from pxe_stack.serve_dhcp import DHCP_PORT, dhcp
from pxe_stack.serve_dns import dns
from pxe_stack.serve_http import files, http
from pxe_stack.serve_router import router
from pxe_stack.serve_tftp import tftp

__all__ = ["Site", "dhcp", "dns", "files", "http", "router", "tftp"]

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
    dhcp_probe_s: float = 0.1
    dhcp_processes: int = 1
    tftp_port: int = TFTP_PORT
    tftp_processes: int = 1
    dns_port: int = DNS_PORT
    dns_forward: tuple[str, ...] = ()
    domain: str = "provisioning.sprout.local"
    boot_proxies: tuple[str, ...] = ()

    @property
    def dhcp_on(self) -> bool:
        """Whether this site answers DHCP."""
        return self.dhcp_interface is not None and self.dhcp_address is not None

    @property
    def tftp_on(self) -> bool:
        """Whether this site serves loaders over TFTP."""
        return self.tftp_address is not None
