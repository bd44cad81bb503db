"""Leases of the pool for clients that no plan names, on a network that is ours in full."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pxe_stack.dhcp_boot import boot_of
from pxe_stack.dhcp_networks import Net, Snapshot, dotted, number_of
from pxe_stack.dhcp_reply import Answer, Ignored, Terms, Why, granted, refused
from pxe_stack.leases import Act, Change, Lease, Leases, State
from pxe_stack.packets import ANY, Kind, Option, Request

PATIENCE_S: Final = 4
"""The client's own seconds of trying, after which any agent answers it."""
PATIENCE_TRIES: Final = 3
"""The same, for firmware that always says 0 seconds."""
LEAST_S: Final = 30
"""What is left of a lease that cannot be made longer, before the client has to ask anew."""

# Members of enumerations, by names of this module: to look one up in its class takes as long as
# a call, and these are looked up for every packet.
_SERVER_ID: Final = int(Option.SERVER_ID)
_REQUESTED: Final = int(Option.REQUESTED_ADDRESS)
_OFFER: Final = Kind.OFFER
_ACK: Final = Kind.ACK
_HOLD: Final = Act.HOLD
_BIND: Final = Act.BIND
_LEASED: Final = State.LEASED


class Case(NamedTuple):
    """One request of *client* (a client_key) and all that the decision depends on."""

    request: Request
    client: bytes
    net: Net
    snapshot: Snapshot
    leases: Leases
    now: float
    tries: int

    def owns(self, address: int) -> bool:
        return self.leases.owns(self.net.id, address)


def answer(case: Case) -> Answer | Ignored:
    """Decide on the answer to a client whose address is of the pool, or is to be."""
    chosen = case.request.address(_SERVER_ID)
    if chosen is not None and chosen != case.snapshot.server.address:
        return Ignored(Why.OTHER_SERVER, chosen)
    return _BY_KIND[case.request.kind](case)


def _offer(case: Case) -> Answer | Ignored:
    client = case.client
    if _is_for_another_agent(case, client):
        return Ignored(Why.OTHER_AGENT)
    asked = case.request.address(_REQUESTED)
    wanted = None if asked is None else number_of(asked)
    address = case.leases.pick(case.net.id, client, wanted, case.now)
    if address is None:
        return Ignored(Why.EXHAUSTED, case.net.told.name)
    hold = Change(_HOLD, client, address)
    return _granted(_OFFER, case, address, case.net.told.lease_s, hold)


def _is_for_another_agent(case: Case, client: bytes) -> bool:
    """Whether to leave a DISCOVER to the other agents of this network for now."""
    request, leases = case.request, case.leases
    if case.net.alone:
        return False
    if request.secs >= PATIENCE_S or case.tries >= PATIENCE_TRIES:
        return False
    if leases.last_of(client, case.net.id) or leases.offered_to(client) is not None:
        return False
    asked = request.address(_REQUESTED)
    if asked is not None and case.net.pooled(number_of(asked)):
        return number_of(asked) not in case.net.pool  # it says which of us gave it that
    return not case.net.falls_to_us(client)


def _confirm(case: Case) -> Answer | Ignored:
    """Answer a REQUEST, by its state (RFC 2131 §4.3.2)."""
    request = case.request
    asked = request.address(_REQUESTED)
    address = number_of(asked or request.ciaddr)
    if address == 0:
        return Ignored(Why.NO_ANSWER_DUE, "REQUEST for no address")
    if address not in case.net.span:
        return _refused(case, address)
    if _SERVER_ID in request.options:
        return _lease(case, address) or _refused(case, address)
    if asked is not None and request.ciaddr == ANY:
        return _rebooted(case, address)
    return _lease(case, address) or _not_kept(case, address)


def _rebooted(case: Case, address: int) -> Answer | Ignored:
    last = case.leases.last_of(case.client, case.net.id)
    if last is None:
        return Ignored(Why.NO_RECORD, dotted(address))
    if last.address == address:
        return _lease(case, address) or _refused(case, address)
    if address in case.net.pool:
        return _refused(case, address)
    return Ignored(Why.NO_RECORD, dotted(address))


def _not_kept(case: Case, address: int) -> Answer | Ignored:
    """Refuse an address that is ours to give and another's to have; of others we do not speak."""
    if case.owns(address) or case.leases.last_of(case.client, case.net.id):
        return _refused(case, address)
    return Ignored(Why.NO_RECORD, dotted(address))


def _lease(case: Case, address: int) -> Answer | None:
    """Return the ACK for *address*, None when the client cannot have it."""
    found = leased(case.net, case.leases, case.client, address, now=case.now)
    return None if found is None else _granted(_ACK, case, address, *found)


def leased(
    net: Net, leases: Leases, client: bytes, address: int, *, now: float
) -> tuple[int, Change | None] | None:
    """Return for how many seconds *client* has *address*, and what makes it so.

    None when it cannot have it.  What is told never ends after what lies on the disk: in its first
    half a lease is confirmed for the rest of its time, which needs no write.
    """
    seconds = net.told.lease_s
    if leases.taken(address, client, now):
        return None
    ours, left = leases.owns(net.id, address), _left(leases.lease(address), client, now)
    if seconds / 2 <= left <= seconds or (not ours and left >= LEAST_S):
        return int(left), None
    if not ours:
        return None
    return seconds, Change(_BIND, client, address, now + seconds)


def _left(lease: Lease | None, client: bytes, now: float) -> float:
    if lease is None or lease.client != client or lease.state is not _LEASED:
        return 0.0
    return lease.expires - now


def _inform(case: Case) -> Answer | Ignored:
    if case.request.ciaddr == ANY:
        return Ignored(Why.NO_ANSWER_DUE, "INFORM without an address")
    boot = boot_of(case.request, None, case.snapshot.server, case.net.loaders)
    terms = Terms(case.net.constants, boot)
    return Answer(granted(_ACK, case.request, case.snapshot, terms))


def _declined(case: Case) -> Answer | Ignored:
    asked = case.request.address(_REQUESTED) or ANY
    change = _of_its_own(case, number_of(asked), Act.DECLINE)
    return Ignored(Why.DECLINED if change else Why.NO_RECORD, asked, change)


def _released(case: Case) -> Answer | Ignored:
    address = case.request.ciaddr
    change = _of_its_own(case, number_of(address), Act.RELEASE)
    return Ignored(Why.RELEASED if change else Why.NO_RECORD, address, change)


def _of_its_own(case: Case, address: int, act: Act) -> Change | None:
    """Return *act* on *address*, if that is the client's: nobody gives away what is another's."""
    if _left(case.leases.lease(address), case.client, case.now) > 0 and case.owns(address):
        return Change(act, case.client, address)
    return None


def _nothing_due(case: Case) -> Answer | Ignored:
    return Ignored(Why.NO_ANSWER_DUE, case.request.kind.name.lower())


_BY_KIND: Final[Mapping[int, Callable[[Case], Answer | Ignored]]] = {
    Kind.DISCOVER: _offer,
    Kind.REQUEST: _confirm,
    Kind.INFORM: _inform,
    Kind.DECLINE: _declined,
    Kind.RELEASE: _released,
    _OFFER: _nothing_due,
    _ACK: _nothing_due,
    Kind.NAK: _nothing_due,
}


def _granted(kind: Kind, case: Case, address: int, seconds: int, change: Change | None) -> Answer:
    boot = boot_of(case.request, None, case.snapshot.server, case.net.loaders)
    terms = Terms(case.net.constants, boot, dotted(address), seconds)
    return Answer(granted(kind, case.request, case.snapshot, terms), change)


def _refused(case: Case, address: int) -> Answer:
    why = f"{dotted(address)} is not the address of {case.request.mac}"
    return Answer(refused(case.request, case.snapshot, why))
