"""What DHCP answers, as pure functions of the request and of what is known at this moment.

A known machine has the address of its plan; a stranger is given one of the pool, where the network
is ours in full; on a network that is another server's, only what to boot is told.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from models.bootnet import Mode
from pxe_stack import dhcp_canary, dhcp_dynamic, dhcp_proxy
from pxe_stack.canary_mark import MACS as CANARIES
from pxe_stack.dhcp_boot import Server, asks_to_boot, boot_of, script_url
from pxe_stack.dhcp_networks import Net, Snapshot, loaders_of
from pxe_stack.dhcp_reply import Answer, Ignored, Terms, Why, granted, refused
from pxe_stack.directory import Known
from pxe_stack.leases import Leases, client_key
from pxe_stack.packets import ANY, PROXY_PORT, Kind, Option, Reply, Request

__all__ = ["Answer", "Ignored", "Server", "Snapshot", "View", "Why", "answer", "script_url"]

# Members of enumerations, by names of this module: to look one up in its class takes as long as
# a call, and these are looked up for every packet.
_DISCOVER: Final = Kind.DISCOVER
_OFF: Final = Mode.OFF
_PROXY: Final = Mode.PROXY
_FULL: Final = Mode.FULL


class View(NamedTuple):
    """What changes from packet to packet: leases, the time, how often this client has tried."""

    leases: Leases
    now: float
    tries: int = 1


class _Case(NamedTuple):
    request: Request
    known: Known
    net: Net | None
    snapshot: Snapshot
    view: View


def answer(
    request: Request, known: Known | None, snapshot: Snapshot, view: View
) -> Answer | Ignored:
    """Decide on the answer to *request*, or on the reason for none (RFC 2131 §4.3)."""
    net = snapshot.locate(request)
    if net is not None and net.mode is _OFF:
        return Ignored(Why.SWITCHED_OFF, net.told.name)
    if known is None and request.mac.startswith(CANARIES):
        return dhcp_canary.answer(request, net, snapshot, view.leases, view.now)
    if request.service == PROXY_PORT or (net is not None and net.mode is _PROXY):
        return dhcp_proxy.answer(request, known, net, snapshot)
    if known is not None:
        return _reserved(_Case(request, known, net, snapshot, view))
    if net is not None and net.mode is _FULL:
        client = client_key(request.mac, request.options.get(61))
        case = dhcp_dynamic.Case(request, client, net, snapshot, *view)
        return dhcp_dynamic.answer(case)
    return Ignored(Why.NOT_OURS)


def discovered(request: Request, known: Known | None) -> bool:
    """Whether *request* is of a machine that nobody has told us of, and that wants to boot."""
    if known is not None or request.kind is not _DISCOVER or request.mac.startswith(CANARIES):
        return False
    return asks_to_boot(request)


def _reserved(case: _Case) -> Answer | Ignored:
    return _BY_KIND[case.request.kind](case)


def _offer(case: _Case) -> Answer | Ignored:
    return _unfit(case) or Answer(_reply(Kind.OFFER, case))


def _confirm(case: _Case) -> Answer | Ignored:
    """Answer a REQUEST in any of its four states (RFC 2131 §4.3.2)."""
    request = case.request
    chosen = request.address(Option.SERVER_ID)
    if chosen is not None and chosen != case.snapshot.server.address:
        return Ignored(Why.OTHER_SERVER, chosen)
    # Selecting and rebooting clients name the address in option 50, the others in ciaddr.
    wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
    if wanted != case.known.plan.addressing.address:
        why = f"{wanted} is not the address of {request.mac}"
        return Answer(refused(request, case.snapshot, why))
    return _unfit(case) or Answer(_reply(Kind.ACK, case))


def _inform(case: _Case) -> Answer | Ignored:
    """Tell a client that has an address everything but an address (RFC 2131 §4.3.5)."""
    if case.request.ciaddr == ANY:
        return Ignored(Why.NO_ANSWER_DUE, "INFORM without an address")
    return Answer(_reply(Kind.ACK, case, leased=False))


def _declined(case: _Case) -> Answer | Ignored:
    return Ignored(Why.DECLINED, case.request.address(Option.REQUESTED_ADDRESS) or "")


def _nothing_due(case: _Case) -> Answer | Ignored:
    # Addresses are reservations: a release takes nothing back.
    return Ignored(Why.NO_ANSWER_DUE, case.request.kind.name.lower())


_BY_KIND: Final[Mapping[Kind, Callable[[_Case], Answer | Ignored]]] = {
    Kind.DISCOVER: _offer,
    Kind.REQUEST: _confirm,
    Kind.INFORM: _inform,
    Kind.DECLINE: _declined,
    Kind.RELEASE: _nothing_due,
    Kind.OFFER: _nothing_due,
    Kind.ACK: _nothing_due,
    Kind.NAK: _nothing_due,
}


def _unfit(case: _Case) -> Ignored | None:
    """Return why the plan's address is no good here: on another network, or still another's."""
    address = case.snapshot.reservations.get(case.request.mac)
    if address is None or case.net is None:
        return None
    if address not in case.net.span:
        return Ignored(Why.WRONG_NETWORK, case.net.told.name)
    client = client_key(case.request.mac, case.request.options.get(Option.CLIENT_ID))
    if case.view.leases.in_use(address, client, case.view.now):
        return Ignored(Why.ADDRESS_IN_USE, case.known.plan.addressing.address)
    return None


def _reply(kind: Kind, case: _Case, *, leased: bool = True) -> Reply:
    plan, net = case.known.plan, case.net
    # The network's, as it is now: a plan is older; but a site may never have heard of the network.
    seconds = plan.addressing.lease_s if net is None else net.told.lease_s
    terms = Terms(
        case.snapshot.constants(case.known, net),
        boot_of(case.request, case.known, case.snapshot.server, loaders_of(net)),
        plan.addressing.address if leased else ANY,
        seconds if leased else None,
        plan.hostname.partition(".")[0],
    )
    return granted(kind, case.request, case.snapshot, terms)
