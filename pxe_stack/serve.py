"""The site's serving processes, each a function that blocks until SIGTERM.

Each is the body of a forked child: it opens its own stores, enters its own namespace, and says in
the journal when it serves.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

DHCP_PORT: Final = 67
TFTP_PORT: Final = 69


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the serving processes of one site are told by their supervisor.

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
    boot_port: int = 8081
    netns: str | None = None
    dhcp_interface: str | None = None
    dhcp_address: str | None = None
    tftp_address: str | None = None
    loader_dirs: tuple[Path, ...] = (Path("/usr/lib/ipxe"), Path("/boot"))
    dhcp_port: int = DHCP_PORT
    tftp_port: int = TFTP_PORT
    http_threads: int = 16


def dhcp(site: Site) -> None:
    """Answer DHCP on the site's interface.  Raises OSError when the socket cannot be had."""
    raise NotImplementedError


def tftp(site: Site) -> None:
    """Serve loaders over TFTP.  Raises OSError when the socket cannot be had."""
    raise NotImplementedError


def http(site: Site) -> None:
    """Serve scripts, seeds, callbacks and artifacts.  Raises OSError when the port is taken."""
    raise NotImplementedError
