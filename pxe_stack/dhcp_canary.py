"""What the site's own canary is answered: as any client of its network, but nothing is kept.

Where strangers have no answer, it has that of a machine of the inventory, without an address.
"""

from typing import Final

from models.bootnet import Mode
from pxe_stack import canary_mark, dhcp_dynamic, dhcp_proxy
from pxe_stack.dhcp_boot import boot_of
from pxe_stack.dhcp_dynamic import PATIENCE_TRIES
from pxe_stack.dhcp_networks import Net, Snapshot, loaders_of
from pxe_stack.dhcp_reply import Answer, Ignored, Terms, Why, granted
from pxe_stack.dhcp_told import Constants
from pxe_stack.leases import Leases, client_key
from pxe_stack.packets import PROXY_PORT, Kind, Request

_NOTHING_OF_THE_NETWORK: Final = Constants({})


def answer(
    request: Request, net: Net | None, snapshot: Snapshot, leases: Leases, now: float
) -> Answer | Ignored:
    """Decide on the answer to a canary on *net*, with the proof that it asks for."""
    decided = _decided(request, net, snapshot, leases, now)
    if isinstance(decided, Ignored):
        return Ignored(decided.why, decided.detail)
    challenge = request.options.get(canary_mark.CHALLENGE)
    if challenge is None:
        return Answer(decided.reply)
    told = canary_mark.proof(snapshot.server.key, challenge, snapshot.server.address)
    options = ((canary_mark.CHALLENGE, told), *decided.reply.options)
    return Answer(decided.reply._replace(options=options))


def _decided(
    request: Request, net: Net | None, snapshot: Snapshot, leases: Leases, now: float
) -> Answer | Ignored:
    if request.service == PROXY_PORT or (net is not None and net.mode is Mode.PROXY):
        return dhcp_proxy.told(request, None, net, snapshot)
    if request.kind is not Kind.DISCOVER:
        return Ignored(Why.NO_ANSWER_DUE, request.kind.name.lower())
    if net is not None and net.mode is Mode.FULL:
        client = client_key(request.mac, None)
        case = dhcp_dynamic.Case(request, client, net, snapshot, leases, now, PATIENCE_TRIES)
        return dhcp_dynamic.answer(case)
    terms = Terms(_NOTHING_OF_THE_NETWORK, boot_of(request, None, snapshot.server, loaders_of(net)))
    return Answer(granted(Kind.OFFER, request, snapshot, terms))
