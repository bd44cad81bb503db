"""Connections to machines of the site: by their address alone, judged, in the site's namespace."""

import socket
from collections.abc import Callable, Collection
from ipaddress import IPv4Network, ip_address

from actors.drivers.errors import NotAllowed, Unreachable
from actors.drivers.reach import Rules
from config import reach
from pxe_stack import sockets

Dial = Callable[[str, int, float], socket.socket]
"""Connects to (address, port) within so many seconds.  Raises NotAllowed and Unreachable."""

_SILENT_MS = 30_000
"""Milliseconds after which what was sent and is not acknowledged ends the connection."""


def within(networks: Callable[[], Collection[IPv4Network]], netns: str | None = None) -> Dial:
    """Return what connects to addresses of *networks*, as they are at that moment."""

    def dial(address: str, port: int, seconds: float) -> socket.socket:
        _judge(address, tuple(networks()))
        try:
            line = sockets.made_in(
                netns, lambda: socket.create_connection((address, port), timeout=seconds)
            )
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MS)
        except OSError as exc:
            raise Unreachable(f"{address}: no connection: {exc.strerror or exc}") from exc
        return line

    return dial


def _judge(address: str, networks: tuple[IPv4Network, ...]) -> None:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise NotAllowed("the machine's address is no IP address") from None
    if not networks:
        raise NotAllowed("this site knows of no network yet")
    if reach.special(reach.plain(parsed)):
        raise NotAllowed(f"{address} is no address of a machine")
    Rules(networks=networks).judge(parsed)
