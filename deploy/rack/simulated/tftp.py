"""TFTP as a ROM downloads: one read request with blksize and tsize, a window of one block.

Sources: RFC 1350, 2347, 2348, 2349.
"""

import asyncio
import struct
from typing import Any, Final

BLKSIZE: Final = 1468
TRIES: Final = 5
WAIT_S: Final = 1.0

_RRQ, _DATA, _ACK, _ERROR, _OACK = 1, 3, 4, 5, 6
_SHORT: Final = struct.Struct("!HH")
_PLAIN_BLOCK: Final = 512


class Failed(Exception):
    """The file did not come; says why."""


async def fetch(server: tuple[str, int], name: str, *, source: str) -> bytes:
    """Return the file *name*, asked for from the address *source*.  Raises Failed."""
    loop = asyncio.get_running_loop()
    download = _Download(server, name, loop.create_future())
    try:
        await loop.create_datagram_endpoint(lambda: download, local_addr=(source, 0))
    except OSError as exc:
        raise Failed(f"{source}: {exc.strerror}") from exc
    try:
        return await download.whole
    finally:
        download.close()


class _Download(asyncio.DatagramProtocol):
    def __init__(self, server: tuple[str, int], name: str, whole: "asyncio.Future[bytes]") -> None:
        self.whole = whole
        self._server = server
        self._peer: tuple[str, int] | None = None
        self._asked = _request(name)
        self._block = 0
        self._blksize = _PLAIN_BLOCK
        self._size: int | None = None
        self._pieces: list[bytes] = []
        self._tries = 0
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send(self._asked)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.whole.done() or len(data) < _SHORT.size or addr[0] != self._server[0]:
            return
        if addr != (self._peer or addr):
            return  # another transfer's (RFC 1350 §4)
        code, number = _SHORT.unpack_from(data)
        if code == _ERROR:
            why = data[4:].partition(b"\0")[0].decode("latin-1")
            self._fail(f"the server says: {number} {why}".rstrip())
        elif code == _OACK and self._block == 0:
            self._peer = addr
            self._agree(data[2:])
        elif code == _DATA and number == (self._block + 1) & 0xFFFF:
            self._peer = addr
            self._take(data[4:])

    def error_received(self, exc: Exception) -> None:
        if not self.whole.done() and self._peer is not None:
            self._fail(str(exc))

    def _agree(self, area: bytes) -> None:
        words = area.rstrip(b"\0").decode("latin-1").split("\0")
        told = dict(zip(words[::2], words[1::2], strict=False))
        try:
            self._blksize = int(told.get("blksize", _PLAIN_BLOCK))
            self._size = int(told["tsize"]) if "tsize" in told else None
        except ValueError:
            self._fail(f"options that are no numbers: {told}")
            return
        self._send(_SHORT.pack(_ACK, 0))

    def _take(self, piece: bytes) -> None:
        self._block += 1
        self._tries = 0
        self._pieces.append(piece)
        self._send(_SHORT.pack(_ACK, self._block & 0xFFFF))
        if len(piece) < self._blksize:
            data = b"".join(self._pieces)
            if self._size not in {None, len(data)}:
                self._fail(f"{len(data)} bytes came of {self._size}")
            else:
                self.whole.set_result(data)

    def _send(self, packet: bytes) -> None:
        if self._timer:
            self._timer.cancel()
        self._transport.sendto(packet, self._peer or self._server)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WAIT_S * (1 << self._tries), self._silence, packet)

    def _silence(self, packet: bytes) -> None:
        self._tries += 1
        if self.whole.done():
            return
        if self._tries >= TRIES:
            self._fail("no answer")
        else:
            self._send(packet)

    def _fail(self, why: str) -> None:
        if not self.whole.done():
            self.whole.set_exception(Failed(why))


def _request(name: str) -> bytes:
    words = (name, "octet", "tsize", "0", "blksize", str(BLKSIZE))
    return _RRQ.to_bytes(2, "big") + b"".join(word.encode("latin-1") + b"\0" for word in words)
