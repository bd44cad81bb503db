"""The relay agent that all machines of a rack are behind: one UDP socket, at one address."""

import asyncio
import logging
import socket
from typing import Any, Final, Self

from deploy.rack.simulated import packets
from deploy.rack.simulated.packets import Malformed, Told

log = logging.getLogger(__name__)

_ROOM: Final = 4 * 1024 * 1024


class Relay(asyncio.DatagramProtocol):
    """Passes clients' packets to one server, and its replies to who waits for them by xid."""

    def __init__(self, address: str, server: tuple[str, int]) -> None:
        self._address = address
        self._server = server
        self._waiting: dict[int, asyncio.Future[Told]] = {}
        self._transport: Any = None

    @classmethod
    async def open(cls, address: str, server: tuple[str, int]) -> Self:
        """Listen on any port of *address*.  Raises OSError."""
        relay = cls(address, server)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: relay, local_addr=(address, 0))
        return relay

    def close(self) -> None:
        self._transport.close()

    async def exchange(self, packet: bytes, xid: int, seconds: float) -> Told | None:
        """Pass *packet* on; return the first reply to *xid*, None when none comes in *seconds*."""
        reply: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[xid] = reply
        self._transport.sendto(packets.relayed(packet, self._address), self._server)
        try:
            return await asyncio.wait_for(reply, seconds)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(xid, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            told = packets.read(data)
        except Malformed as exc:
            log.warning("relay.malformed", extra={"why": str(exc), "packet": data[:300].hex()})
            return
        reply = self._waiting.get(told.xid)
        if reply is not None and not reply.done():
            reply.set_result(told)

    def error_received(self, exc: Exception) -> None:
        log.debug("relay.unreachable", extra={"why": str(exc)})  # the client's time runs out
