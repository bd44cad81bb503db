"""DHCP beside another server: boot options alone, on ports 67 and 4011 (PXE 2.1 §2.2).

A client hears the other server's address and our file; some take the file from the offer, and some
(BIOS ROMs, older UEFI) ask for it on port 4011 when they have their address.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pxe_stack.dhcp_boot import Boot, boot_of, proxied
from pxe_stack.dhcp_networks import Net, Snapshot, loaders_of
from pxe_stack.dhcp_reply import Answer, Ignored, Terms, Why, granted, to_boot_client
from pxe_stack.dhcp_told import Constants
from pxe_stack.directory import Known
from pxe_stack.packets import ANY, PROXY_PORT, Kind, Option, Request

_NOTHING_OF_THE_NETWORK: Final = Constants({})


class _Case(NamedTuple):
    request: Request
    boot: Boot
    snapshot: Snapshot


def answer(
    request: Request, known: Known | None, net: Net | None, snapshot: Snapshot
) -> Answer | Ignored:
    """Tell *request* what to boot, if it asks, and if it is a machine that we boot here."""
    if known is None and not (net is not None and net.told.strangers_boot):
        return Ignored(Why.NOT_OURS)
    taken = None if known is None else _taken(request, snapshot)
    if taken is not None:
        return Ignored(Why.ANOTHERS_ADDRESS, taken)
    return told(request, known, net, snapshot)


def _taken(request: Request, snapshot: Snapshot) -> str | None:
    """Return the address that *request* takes of the other server, if that is what it does.

    Its broadcasts reach all servers; that the other one confirms it cannot be heard.
    """
    if request.kind is not Kind.REQUEST or request.service == PROXY_PORT:
        return None
    if request.address(Option.SERVER_ID) == snapshot.server.address:
        return None
    wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
    return None if wanted == ANY else wanted


def told(
    request: Request, known: Known | None, net: Net | None, snapshot: Snapshot
) -> Answer | Ignored:
    """Tell *request* what to boot, if it asks, whoever it is."""
    loaders = {**snapshot.server.beside, **loaders_of(net)}
    boot = boot_of(request, known, snapshot.server, loaders)
    if not boot.file:
        return Ignored(Why.NOT_BOOTING)
    deciding = _AT_4011 if request.service == PROXY_PORT else _AT_67
    decide = deciding.get(request.kind, _nothing_due)
    return decide(_Case(request, proxied(boot), snapshot))


def _offer(case: _Case) -> Answer | Ignored:
    terms = Terms(_NOTHING_OF_THE_NETWORK, case.boot)
    return Answer(granted(Kind.OFFER, case.request, case.snapshot, terms))


def _confirm(case: _Case) -> Answer | Ignored:
    request = case.request
    chosen = request.address(Option.SERVER_ID)
    if chosen is not None and chosen != case.snapshot.server.address:
        return Ignored(Why.OTHER_SERVER, chosen)
    if request.ciaddr == ANY and request.source == ANY:
        return Ignored(Why.NO_ANSWER_DUE, "asked on port 4011 from no address")
    terms = Terms(_NOTHING_OF_THE_NETWORK, case.boot)
    reply = granted(Kind.ACK, request, case.snapshot, terms)
    return Answer(reply._replace(to=to_boot_client(request)))


def _nothing_due(case: _Case) -> Answer | Ignored:
    return Ignored(Why.NO_ANSWER_DUE, f"{case.request.kind.name.lower()} beside another server")


_AT_67: Final[Mapping[Kind, Callable[[_Case], Answer | Ignored]]] = {Kind.DISCOVER: _offer}
_AT_4011: Final[Mapping[Kind, Callable[[_Case], Answer | Ignored]]] = {
    Kind.DISCOVER: _confirm,
    Kind.REQUEST: _confirm,
    Kind.INFORM: _confirm,
}
