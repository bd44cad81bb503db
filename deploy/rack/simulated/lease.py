"""A client's way to an address: DISCOVER, OFFER, REQUEST, ACK, with firmware's patience."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import inet_aton
from time import monotonic

from deploy.rack.simulated import packets
from deploy.rack.simulated.packets import ACK, DISCOVER, OFFER, REQUEST, Told
from deploy.rack.simulated.relay import Relay


class NoLease(Exception):
    """No server gave an address within the client's patience."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a machine was told: its address, and what to boot from where."""

    address: str
    next_server: str
    boot_file: str
    vendor_class: str
    host_name: str


async def obtain(
    relay: Relay, mac: str, options: Mapping[int, bytes], tries: Sequence[float]
) -> Lease:
    """Return a lease for *mac*; each of *tries* waits so many seconds.  Raises NoLease."""
    began = monotonic()
    for seconds in tries:
        xid = random.getrandbits(32)
        secs = int(monotonic() - began)
        discover = packets.ask(DISCOVER, mac, xid, options, secs)
        offer = await relay.exchange(discover, xid, seconds)
        if offer is None or offer.kind != OFFER:
            continue
        chosen = {**options, 50: inet_aton(offer.yiaddr), 54: offer.server}
        request = packets.ask(REQUEST, mac, xid, chosen, secs)
        told = await relay.exchange(request, xid, seconds)
        if told is not None and told.kind == ACK:
            return _lease(told)
    raise NoLease(f"no DHCP answer in {monotonic() - began:.0f} s")


def _lease(told: Told) -> Lease:
    return Lease(
        address=told.yiaddr,
        next_server=told.siaddr,
        boot_file=told.boot_file,
        vendor_class=told.options.get(60, b"").decode("latin-1"),
        host_name=told.options.get(12, b"").decode("latin-1"),
    )
