"""How a canary asks DHCP, and hears all who answer: ours, and servers that nobody knows of.

It asks by broadcast on the site's interface, which a server on this machine hears as if it came
from outside, and listens below UDP: there every answer is seen with the MAC that it came from.
"""

import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from pxe_stack import canary_mark, sockets, wire
from pxe_stack.canary_clients import Client
from pxe_stack.dhcp_ears import attach
from pxe_stack.packets import ANY, BROADCAST, PROXY_PORT

LISTEN_S: Final = 4.0
"""Servers that make sure that an address is free offer it after up to three seconds."""
AGAIN_S: Final = 1.0
_SECS: Final = 8
"""What a client says that has tried for a while, so that no server leaves it to another."""

_ALL_FRAMES: Final = 3
# IPv4, UDP, to port 68.
_REPLIES: Final = [
    (0x28, 0, 0, 12),
    (0x15, 0, 6, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 0, 4, 17),
    (0xB1, 0, 0, 14),
    (0x48, 0, 0, 16),
    (0x15, 0, 1, 68),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer; *ours*: whoever gave it knows the site's key.  Addresses are "" for none."""

    client: str
    kind: str
    server: str
    source: str
    mac: str
    address: str
    next_server: str
    file: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Round:
    """One asking of all clients: each has a transaction of its own and the same *challenge*."""

    key: bytes = field(repr=False)
    challenge: bytes = field(
        default_factory=lambda: secrets.token_bytes(canary_mark.CHALLENGE_BYTES)
    )
    xid: int = field(default_factory=lambda: secrets.randbits(31) & ~0xFF)

    def message(self, kind: str, client: Client, *, broadcast: bool = True) -> bytes:
        return wire.request(
            kind,
            client.mac,
            xid=self.xid | client.number,
            broadcast=broadcast,
            secs=_SECS,
            options=client.options(self.challenge),
        )

    def heard(self, told: Mapping[str, Any], clients: Mapping[str, Client]) -> Heard | None:
        """Return what was *told* to one of *clients* in this round."""
        client = clients.get(told["mac"])
        if client is None or told["xid"] != self.xid | client.number:
            return None
        server, source = str(told.get("server_id", "")), str(told["from"])
        said = told.get(str(canary_mark.CHALLENGE))
        proof = canary_mark.proof(self.key, self.challenge, server) if server else None
        return Heard(
            client=client.name,
            kind=told["message-type"],
            server=server or source,
            source=source,
            mac=told["from_mac"],
            address=_given(told["yiaddr"]),
            next_server=_given(told["siaddr"]),
            file=told["file"] or _text(told.get("boot-file-name", b"")),
            ours=proof is not None and said == proof,
        )


def discover(
    key: bytes, clients: Sequence[Client], *, interface: str, port: int, listen_s: float = LISTEN_S
) -> list[Heard]:
    """Return every answer to a DISCOVER of each of *clients*, by whomever.

    Wants CAP_NET_RAW.  Raises OSError.
    """
    this, by_mac = Round(key), {client.mac: client for client in clients}
    found: list[Heard] = []
    with ExitStack() as stack:
        ear = stack.enter_context(_ear(interface))
        voice = stack.enter_context(sockets.udp(ANY, 0, interface=interface))
        began = again = time.monotonic()
        while (now := time.monotonic()) < began + listen_s:
            if now >= again:
                again = now + AGAIN_S
                answered = {each.client for each in found if each.ours}
                for client in clients:
                    if client.name not in answered:
                        voice.sendto(this.message("discover", client), (BROADCAST, port))
            for told in _frames(ear, min(again, began + listen_s)):
                heard = this.heard(told, by_mac)
                if heard is not None and heard not in found:
                    found.append(heard)
    return found


def at_4011(key: bytes, client: Client, *, interface: str, address: str) -> Heard | None:
    """Return the answer of the boot server on port 4011 of *address*, which is ours, to *client*.

    Raises OSError.
    """
    this = Round(key)
    with (
        sockets.udp(address, 0) as ear,
        sockets.udp(ANY, ear.getsockname()[1], interface=interface) as voice,
    ):
        ear.settimeout(AGAIN_S)
        for _ in range(3):
            message = this.message("request", client, broadcast=False)
            sockets.send_from(voice, message, (BROADCAST, PROXY_PORT), address)
            try:
                raw, (source, _) = ear.recvfrom(2048)
                told = wire.decoded(raw)
            except (TimeoutError, ValueError):
                continue
            return this.heard({**told, "from": source, "from_mac": ""}, {client.mac: client})
    return None


def _ear(interface: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        attach(ear, _REPLIES)
        ear.bind((interface, _ALL_FRAMES))
    except OSError:
        ear.close()
        raise
    return ear


def _frames(ear: socket.socket, until: float) -> Iterator[Mapping[str, Any]]:
    while (left := until - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            told = wire.overheard(ear.recv(2048))
        except TimeoutError:
            return
        if told is not None:
            yield told


def _given(address: str) -> str:
    return "" if address == ANY else address


def _text(value: bytes | str) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.rstrip("\0")
