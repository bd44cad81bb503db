"""scapy's one place: packets in words for a person, and the packets that clients send.

Never imported by a serving process: it costs 50 to 80 MB, and half a millisecond a packet.  It is
the oracle that the struct codec is held against in tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP, DHCPTypes
from scapy.layers.dns import dns_encode
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from models.bootnet import BootNetwork

_CLIENT: int = 1
_SERVER: int = 2


def request(
    kind: str,
    mac: str,
    *,
    xid: int = 1,
    ciaddr: str = "0.0.0.0",  # noqa: S104 - a client that has no address yet
    giaddr: str = "0.0.0.0",  # noqa: S104 - a client without a relay
    broadcast: bool = False,
    secs: int = 0,
    options: Sequence[tuple[str | int, Any]] = (),
) -> bytes:
    """Return the DHCP message *kind* (scapy's word, such as "discover") that a client sends.

    *options* are scapy's (name or number, value) pairs; numbers take bytes.
    """
    head = BOOTP(
        op=_CLIENT,
        chaddr=bytes.fromhex(mac.replace(":", "")),
        xid=xid,
        ciaddr=ciaddr,
        giaddr=giaddr,
        flags=0x8000 if broadcast else 0,
        secs=secs,
    )
    return bytes(head / DHCP(options=[("message-type", kind), *options, "end"]))


def told(net: BootNetwork) -> list[tuple[int, bytes]]:
    """Return (code, coded option) of what *net* tells all its clients, by scapy's layers."""
    options: list[tuple[int, str | int, Any]] = [(1, "subnet_mask", str(net.cidr.netmask))]
    if net.routes:
        options.append((121, "classless_static_routes", _routes(net)))
    if net.gateway:
        options.append((3, "router", str(net.gateway)))
    if net.dns:
        options.append((6, "name_server", [str(each) for each in net.dns]))
    if net.domain:
        options.append((15, "domain", net.domain.encode()))
    if net.mtu is not None:
        options.append((26, "interface-mtu", net.mtu))
    options.append((28, "broadcast_address", str(net.cidr.broadcast_address)))
    if net.ntp:
        options.append((42, "NTP_server", [str(each) for each in net.ntp]))
    if net.search:
        names = [each.strip(".").encode() for each in net.search]
        coded = map(dns_encode, names)  # by map, since it has no types
        options.append((119, 119, b"".join(coded)))
    return [(code, _coded(name, value)) for code, name, value in options]


def _coded(name: str | int, value: Any) -> bytes:
    values = value if isinstance(value, list) else [value]
    return bytes(DHCP(options=[(name, *values)]))


def _routes(net: BootNetwork) -> list[str]:
    routes = [f"{each.to}:{each.via}" for each in net.routes]
    if net.gateway and all(each.to.prefixlen for each in net.routes):
        routes.append(f"0.0.0.0/0:{net.gateway}")
    return routes


def decoded(raw: bytes) -> Mapping[str, Any]:
    """Return a DHCP message in words: fixed fields, and each option by scapy's name for it.

    Raises ValueError for what scapy does not take for DHCP.
    """
    packet = BOOTP(raw)
    if DHCP not in packet:
        raise ValueError("no DHCP options")
    found: dict[str, Any] = {
        "xid": packet.xid,
        "mac": packet.chaddr[:6].hex(":"),
        "ciaddr": packet.ciaddr,
        "yiaddr": packet.yiaddr,
        "siaddr": packet.siaddr,
        "giaddr": packet.giaddr,
        "file": packet.file.rstrip(b"\0").decode("ascii", "replace"),
    }
    for option in packet[DHCP].options:
        if isinstance(option, tuple):
            name, *values = option
            found[str(name)] = values[0] if len(values) == 1 else values
    found["message-type"] = DHCPTypes.get(int(found.get("message-type", 0)), "unknown")
    return found


def overheard(frame: bytes) -> Mapping[str, Any] | None:
    """Return the DHCP reply that an Ethernet *frame* holds, in words, None for another frame.

    Beside what decoded gives: "from_mac" and "from", the sender's addresses.
    """
    packet = Ether(frame)
    if UDP not in packet or BOOTP not in packet or packet[BOOTP].op != _SERVER:
        return None
    try:
        told = decoded(bytes(packet[UDP].payload))
    except ValueError:
        return None
    return {**told, "from_mac": packet.src, "from": packet[IP].src}
