"""What DHCP answers, as one pure function of the request and what is known of the machine.

Reservations only: an address comes from the machine's plan, so there is no lease to remember, and
a machine without a plan is left alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface
from socket import inet_aton
from typing import Final
from urllib.parse import quote

from models.bootplan import Access, Addressing, BootPlan, url
from pxe_stack import firmware
from pxe_stack.directory import Known
from pxe_stack.packets import ANY, BROADCAST, FILE_ROOM, Kind, Option, Reply, Request

CLIENT_PORT: Final = 68

NO_PROXY: Final = b"\xb0\x01\x01"
"""iPXE's no-pxedhcp: do not wait for proxy offers, nobody else will make one."""


class Why(StrEnum):
    """Why a packet got no answer: a row of the timeline and a counter, so a closed set."""

    MALFORMED = "malformed"
    NOT_OURS = "not-ours"
    OTHER_SERVER = "other-server"
    NO_ANSWER_DUE = "no-answer-due"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Silence, and the reason for it."""

    why: Why
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who answers: its address on the wire, where loaders are, boot HTTP, and the site key."""

    address: str
    tftp: str
    boot_url: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Boot:
    """What a network boot is told: a file or URL to start, and options that go with it."""

    file: str = ""
    tftp: bool = False
    options: tuple[tuple[int, bytes], ...] = ()


def answer(request: Request, known: Known | None, server: Server) -> Reply | Ignored:
    """Decide on the reply to *request*, or on the reason for none (RFC 2131 §4.3)."""
    if known is None:
        return Ignored(Why.NOT_OURS)
    return _BY_KIND[request.kind](request, known, server)


def _offer(request: Request, known: Known, server: Server) -> Reply | Ignored:
    return _reply(Kind.OFFER, request, known, server)


def _confirm(request: Request, known: Known, server: Server) -> Reply | Ignored:
    """Answer a REQUEST in any of its four states (RFC 2131 §4.3.2)."""
    chosen = request.address(Option.SERVER_ID)
    if chosen is not None and chosen != server.address:
        return Ignored(Why.OTHER_SERVER, chosen)
    # Selecting and rebooting clients name the address in option 50, the others in ciaddr.
    wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
    if wanted != known.plan.addressing.address:
        return _refuse(request, server, f"{wanted} is not the address of {request.mac}")
    return _reply(Kind.ACK, request, known, server)


def _inform(request: Request, known: Known, server: Server) -> Reply | Ignored:
    """Tell a client that has an address everything but an address (RFC 2131 §4.3.5)."""
    if request.ciaddr == ANY:
        return Ignored(Why.NO_ANSWER_DUE, "INFORM without an address")
    return _reply(Kind.ACK, request, known, server, leased=False)


def _declined(request: Request, known: Known, server: Server) -> Reply | Ignored:
    return Ignored(Why.DECLINED, request.address(Option.REQUESTED_ADDRESS) or "")


def _nothing_due(request: Request, known: Known, server: Server) -> Reply | Ignored:
    # Addresses are reservations: a release takes nothing back.
    return Ignored(Why.NO_ANSWER_DUE, request.kind.name.lower())


_BY_KIND: Final[dict[Kind, Callable[[Request, Known, Server], Reply | Ignored]]] = {
    Kind.DISCOVER: _offer,
    Kind.REQUEST: _confirm,
    Kind.INFORM: _inform,
    Kind.DECLINE: _declined,
    Kind.RELEASE: _nothing_due,
    Kind.OFFER: _nothing_due,
    Kind.ACK: _nothing_due,
    Kind.NAK: _nothing_due,
}


def boot_of(request: Request, known: Known, server: Server) -> Boot:
    """Return what the client is to start, if it asks to boot at all."""
    plan, vendor = known.plan, request.text(Option.VENDOR_CLASS)
    if _is_ipxe(request):
        # The second round: sending the loader again would chain for ever.
        return Boot(script_url(known, server), options=((Option.IPXE, NO_PROXY),))
    if not vendor.startswith(("PXEClient", "HTTPClient")):
        return Boot()
    arch = firmware.architecture(_code(request), vendor)
    if arch is None:
        return Boot()
    loader = _loader(plan, arch)
    if arch.http or vendor.startswith("HTTPClient"):
        return Boot(
            f"{server.boot_url}/loaders/{loader}",
            options=((Option.VENDOR_CLASS, b"HTTPClient"),),
        )
    return Boot(loader, tftp=True)


def script_url(known: Known, server: Server) -> str:
    """Return what iPXE is to fetch: the run's script while that is open, else the entry."""
    if known.opens(Access.SCRIPT):
        return url(known.plan, server.key, Access.SCRIPT, "script")
    return f"{server.boot_url}/ipxe/{quote(known.plan.mac)}"


def _is_ipxe(request: Request) -> bool:
    # iPXE writes the class bare; RFC 3004 wants a length before it, and some builds obey.
    user_class = request.options.get(Option.USER_CLASS, b"")
    return user_class in {b"iPXE", b"\x04iPXE"} or Option.IPXE in request.options


def _code(request: Request) -> int | None:
    value = request.options.get(Option.ARCHITECTURE, b"")
    return int.from_bytes(value[:2], "big") if len(value) >= 2 else None


def _loader(plan: BootPlan, arch: firmware.Architecture) -> str:
    override = plan.loaders.get(arch.name, arch.loader)
    return override if override in firmware.LOADERS else arch.loader


def _reply(
    kind: Kind, request: Request, known: Known, server: Server, *, leased: bool = True
) -> Reply:
    addressing = known.plan.addressing
    boot = boot_of(request, known, server)
    options = [
        (Option.MESSAGE_TYPE, bytes((kind,))),
        (Option.SERVER_ID, inet_aton(server.address)),
        *(_times(addressing) if leased else ()),
        *_boot_options(request, boot, server),
        *_network(request, known.plan),
        *_echoed(request),
    ]
    return Reply(
        kind=kind,
        xid=request.xid,
        mac=request.mac,
        to=_destination(request, addressing.address),
        broadcast=request.broadcast,
        ciaddr=request.ciaddr if kind is Kind.ACK else ANY,
        yiaddr=addressing.address if leased else ANY,
        siaddr=server.tftp if boot.tftp else server.address if boot.file else ANY,
        giaddr=request.giaddr,
        file=boot.file if len(boot.file) <= FILE_ROOM else "",
        options=tuple(options),
        limit=request.limit,
    )


def _refuse(request: Request, server: Server, why: str) -> Reply:
    """Say no to an address that is not the client's; only to clients that are known."""
    relayed = request.giaddr != ANY
    options = [
        (Option.MESSAGE_TYPE, bytes((Kind.NAK,))),
        (Option.SERVER_ID, inet_aton(server.address)),
        (Option.MESSAGE, why.encode("ascii", "replace")),
        *_echoed(request),
    ]
    return Reply(
        kind=Kind.NAK,
        xid=request.xid,
        mac=request.mac,
        to=(request.giaddr, request.relay_port) if relayed else (BROADCAST, CLIENT_PORT),
        # The relay is to broadcast it: the client's own address may be wrong (RFC 2131 §4.3.2).
        broadcast=relayed or request.broadcast,
        giaddr=request.giaddr,
        options=tuple(options),
        limit=request.limit,
    )


def _destination(request: Request, address: str) -> tuple[str, int]:
    """Return where a reply goes (RFC 2131 §4.1, RFC 8357 §5.2)."""
    if request.giaddr != ANY:
        return request.giaddr, request.relay_port
    if request.ciaddr != ANY:
        return request.ciaddr, CLIENT_PORT
    return (BROADCAST if request.broadcast else address), CLIENT_PORT


def _times(addressing: Addressing) -> Iterator[tuple[int, bytes]]:
    lease = addressing.lease_s
    yield Option.LEASE_TIME, lease.to_bytes(4, "big")
    yield Option.RENEWAL_TIME, (lease // 2).to_bytes(4, "big")
    yield Option.REBINDING_TIME, (lease * 7 // 8).to_bytes(4, "big")


def _boot_options(request: Request, boot: Boot, server: Server) -> Iterator[tuple[int, bytes]]:
    if not boot.file:
        return
    yield from boot.options
    if len(boot.file) > FILE_ROOM or request.wants(Option.BOOT_FILE):
        yield Option.BOOT_FILE, boot.file.encode("ascii")
    if boot.tftp and request.wants(Option.TFTP_SERVER):
        yield Option.TFTP_SERVER, server.tftp.encode("ascii")


def _network(request: Request, plan: BootPlan) -> Iterator[tuple[int, bytes]]:
    told = plan.addressing
    net = IPv4Interface(f"{told.address}/{told.prefix_length}").network
    # fmt: off
    values: tuple[tuple[Option, bytes], ...] = (
        (Option.SUBNET_MASK, net.netmask.packed),
        (Option.ROUTER, inet_aton(told.gateway) if told.gateway else b""),
        (Option.DNS, b"".join(map(inet_aton, told.dns))),
        (Option.HOST_NAME, plan.hostname.partition(".")[0].encode("ascii")),
        (Option.DOMAIN, told.domain.encode("ascii")),
        (Option.BROADCAST_ADDRESS, net.broadcast_address.packed),
    )
    # fmt: on
    for option, value in values:
        if value and (option is Option.SUBNET_MASK or request.wants(option)):
            yield option, value


def _echoed(request: Request) -> Iterator[tuple[int, bytes]]:
    """Give back what the client (RFC 6842, RFC 4578) and its relay (RFC 3046) sent."""
    for option in (Option.CLIENT_ID, Option.MACHINE_ID, Option.RELAY):
        value = request.options.get(option)
        if value is not None:
            yield option, value
