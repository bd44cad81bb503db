"""`sprout site check`: the canary once, for people or programs; its exit status says the rest."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from actors.site import networks
from actors.site.place import ANY, Place
from models.bootnet import BootNetwork, Mode
from pxe_stack import canary, sockets
from pxe_stack.canary import Report, Target
from pxe_stack.canary_dns import Names
from pxe_stack.dns_hosts import PlannedHosts
from pxe_stack.dns_zone import Host
from pxe_stack.store import PLANS

FAILED: Final = 1
DENIED: Final = 2
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a site serves: 67, 69 and 53 but in tests."""

    dhcp: int
    tftp: int
    dns: int


@dataclass(frozen=True, slots=True)
class Told:
    """What control has told the site that a check wants to know.

    *mode* is of the network that the site itself is on; *host* is a machine with a name.
    """

    mode: Mode | None = None
    host: Host | None = None


def run(where: Place, key: bytes, folder: Path, ports: Ports, *, domain: str, as_json: bool) -> int:
    """Check the site that serves at *where*, and print what was met; return the exit status.

    *folder* holds the site's stores, *domain* is what its DNS answers for.
    """
    if where.netns is not None:
        sockets.enter(where.netns)
    try:
        report = canary.check(_target(where, key, folder, ports, domain=domain))
    except PermissionError as exc:
        sys.stderr.write(f"a check wants the rights that the site has: {exc}\n")
        return DENIED
    sys.stdout.write(json.dumps(report.encode(), indent=2) + "\n" if as_json else table(report))
    return 0 if report.ok else FAILED


def table(report: Report) -> str:
    """Return *report* as lines for people."""
    cells = [("CLIENT", "STEP", "RESULT", "DETAIL")]
    cells += [(each.client, each.what, each.level.value, each.detail) for each in report.findings]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [
        "  ".join((*(row[n].ljust(widths[n]) for n in range(3)), row[3])).rstrip() for row in cells
    ]
    return "\n".join(lines) + "\n"


def _target(where: Place, key: bytes, folder: Path, ports: Ports, *, domain: str) -> Target:
    dhcp = "dhcp" in where.services
    told = _told(folder, where.dhcp_address)
    names = None
    if "dns" in where.services and where.dns_address is not None:
        address = where.dns_address if where.dns_address != ANY else LOOPBACK
        names = Names(address=address, port=ports.dns, domain=domain, host=told.host)
    return Target(
        key=key,
        boot_url=where.boot_url,
        interface=where.dhcp_interface if dhcp else None,
        address=where.dhcp_address if dhcp else None,
        dhcp_port=ports.dhcp,
        tftp_address=where.tftp_address if "tftp" in where.services else None,
        tftp_port=ports.tftp,
        mode=told.mode,
        names=names,
    )


def _told(folder: Path, address: str | None) -> Told:
    """Return what control has told of the network that *address* is of, and of its machines."""
    if not (folder / PLANS).exists():
        return Told()
    told = networks.remembered(folder)
    own = None if address is None else _own(told, IPv4Address(address))
    planned = PlannedHosts(folder)
    try:
        host = next(iter(planned.read().hosts), None)
    finally:
        planned.close()
    return Told(None if own is None else own.mode, host)


def _own(networks: Iterable[BootNetwork], address: IPv4Address) -> BootNetwork | None:
    holding = [each for each in networks if address in each.cidr]
    return max(holding, key=lambda each: each.cidr.prefixlen, default=None)
