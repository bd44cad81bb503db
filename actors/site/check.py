"""`sprout site check`: the canary once, for people or programs; its exit status says the rest."""

import json
import sys
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from actors.site.place import Place
from models.bootnet import BootNetwork, Mode
from pxe_stack import canary, sockets
from pxe_stack.canary import Report, Target
from pxe_stack.store import PLANS, PlanStore

FAILED: Final = 1
DENIED: Final = 2


def run(where: Place, key: bytes, folder: Path, ports: tuple[int, int], *, as_json: bool) -> int:
    """Check the site that serves at *where*, and print what was met; return the exit status.

    *ports* are those of DHCP and TFTP, *folder* holds the site's stores.
    """
    if where.netns is not None:
        sockets.enter(where.netns)
    dhcp = "dhcp" in where.services
    target = Target(
        key=key,
        boot_url=where.boot_url,
        interface=where.dhcp_interface if dhcp else None,
        address=where.dhcp_address if dhcp else None,
        dhcp_port=ports[0],
        tftp_address=where.tftp_address if "tftp" in where.services else None,
        tftp_port=ports[1],
        mode=_mode(folder, where.dhcp_address),
    )
    try:
        report = canary.check(target)
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


def _mode(folder: Path, address: str | None) -> Mode | None:
    """Return how the network that *address* is of is answered, None before control told of it."""
    if address is None or not (folder / PLANS).exists():
        return None
    plans = PlanStore(folder / PLANS)
    try:
        own = _own(plans.networks(), IPv4Address(address))
    finally:
        plans.close()
    return None if own is None else own.mode


def _own(networks: Iterable[BootNetwork], address: IPv4Address) -> BootNetwork | None:
    holding = [each for each in networks if address in each.cidr]
    return max(holding, key=lambda each: each.cidr.prefixlen, default=None)
