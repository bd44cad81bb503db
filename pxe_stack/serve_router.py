"""The process that answers router solicitations on the site's interface, until SIGTERM."""

import select
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import structlog

from pxe_stack import router as rules
from pxe_stack import sockets
from pxe_stack.site_directory import Stores
from pxe_stack.store import PlanStore

if TYPE_CHECKING:
    from pxe_stack.serve import Site

log = structlog.get_logger()


def router(site: "Site") -> None:
    """Answer router solicitations as the interface's network wants it.

    A kernel without IPv6 is no fault: machines then wait for 16 s, and boot all the same.
    """
    stop = sockets.stop_signal()
    stores = Stores(site.directory, site.agent)
    stores.journal.mark_ready("router")

    def keep(counts: Mapping[str, int]) -> None:
        stores.journal.count(counts)
        stores.journal.flush()

    try:
        sock = sockets.made_in(site.netns, lambda: rules.listen(site.dhcp_interface or ""))
    except OSError as exc:
        log.warning("router.no-ipv6", interface=site.dhcp_interface, why=str(exc))
        select.select([stop], [], [])
    else:
        log.info("router.ready", interface=site.dhcp_interface)
        with sock:
            rules.Responder(sock, _wanted(stores.plans, site.dhcp_address), keep).run(stop)
    stores.close()


def _wanted(plans: PlanStore, address: str | None) -> Callable[[], bool]:
    """Return what tells whether the network that *address* lies in wants solicitations answered."""
    own = IPv4Address(address or "0.0.0.0")  # noqa: S104 - of no network
    known: dict[int, bool] = {}

    def wanted() -> bool:
        version = plans.version()
        if version not in known:
            known.clear()
            known[version] = any(n.answer_rs and own in n.cidr for n in plans.networks())
        return known[version]

    return wanted
