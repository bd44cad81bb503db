"""HTTP in front of the simulated BMCs: each has an address of its own, all are in one loop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Self

from deploy.rack.redfish.exchange import Request, Response, refused
from deploy.rack.redfish.messages import Refused
from deploy.rack.redfish.service import Service
from deploy.rack.simulated.writes import Writes

log = logging.getLogger(__name__)

_LARGEST_HEAD: Final = 16 * 1024
_LARGEST_BODY: Final = 64 * 1024
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_COMMON: Final = ("OData-Version: 4.0", "Cache-Control: no-cache", "Server: SimulatedBMC")

Answer = Callable[[Request], Response]


class Fronts:
    """Listeners of all BMCs, until closed."""

    def __init__(self, servers: Sequence[asyncio.Server], open_: set["_Connection"]) -> None:
        self._servers = servers
        self._open = open_

    @classmethod
    async def open(
        cls, services: Sequence[tuple[Service, tuple[str, int]]], writes: Writes
    ) -> Self:
        """Listen for each service at its address and port.  Raises OSError when one is taken."""
        loop = asyncio.get_running_loop()
        connections: set[_Connection] = set()
        with ExitStack() as opened:
            servers = []
            for service, (host, port) in services:
                answer = _noting(service, writes)
                made = partial(_Connection, answer, connections)
                server = await loop.create_server(made, host, port)
                opened.callback(server.close)
                servers.append(server)
            opened.pop_all()
        return cls(servers, connections)

    @property
    def ports(self) -> list[int]:
        """Where they listen, in the services' order."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    def close(self) -> None:
        """Close the ports, and the connections that clients keep alive."""
        for server in self._servers:
            server.close()
        for connection in list(self._open):
            connection.close()


def _noting(service: Service, writes: Writes) -> Answer:
    name = service.machine.hardware.name

    def answer(request: Request) -> Response:
        writes.note(name, request.method, request.target, request.body)
        return service.answer(request)

    return answer


class _Connection(asyncio.Protocol):
    """Requests of one client, one after the other (RFC 9112)."""

    def __init__(self, answer: Answer, open_: set["_Connection"]) -> None:
        self._answer = answer
        self._open = open_
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._transport.is_closing() and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            if not self._take(end):
                return
        if len(self._buffer) > _LARGEST_HEAD + _LARGEST_BODY:
            self._transport.close()

    def _take(self, end: int) -> bool:
        """Answer the request whose head ends at *end*; False while its body is on its way."""
        first, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        words = first.split(" ")
        pairs = (field.partition(":") for field in fields)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = headers.get("content-length", "0")
        if len(words) != 3 or not (length.isdecimal() and int(length) <= _LARGEST_BODY):
            # The body stays unread, so that nothing after it could be understood.
            self._send(words[0], refused(Refused("PayloadTooLarge")), last=True)
            return False
        begin = end + 4
        if len(self._buffer) < begin + int(length):
            return False
        body, self._buffer = (
            self._buffer[begin : begin + int(length)],
            self._buffer[begin + int(length) :],
        )
        response = self._answer(Request(words[0], words[1], headers, body))
        last = words[2] != "HTTP/1.1" or headers.get("connection", "").lower() == "close"
        self._send(words[0], response, last=last)
        return True

    def _send(self, method: str, response: Response, *, last: bool) -> None:
        status = response.status
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *_COMMON]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += ["Connection: close"] if last else []
        lines += [] if status in _BODILESS else [f"Content-Length: {len(response.body)}"]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self._transport.write(head if method == "HEAD" else head + response.body)
        if last:
            self._transport.close()
