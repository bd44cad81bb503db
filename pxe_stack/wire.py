"""scapy's one place: packets in words for a person, and the packets that clients send.

Never imported by a serving process: it costs 50 to 80 MB, and half a millisecond a packet.  It is
the oracle that the struct codec is held against in tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP, DHCPTypes

_CLIENT: int = 1


def request(
    kind: str,
    mac: str,
    *,
    xid: int = 1,
    ciaddr: str = "0.0.0.0",  # noqa: S104 - a client that has no address yet
    giaddr: str = "0.0.0.0",  # noqa: S104 - a client without a relay
    broadcast: bool = False,
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
    )
    return bytes(head / DHCP(options=[("message-type", kind), *options, "end"]))


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
