"""TFTP: one epoll loop, one socket for each transfer, and a closed table of names.

tftpy reads each request and writes each OACK and ERROR.  Its server is not used: one malformed
packet ends it.  DATA and ACK are ours (see transfer).
"""

import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketERR, TftpPacketOACK

from pxe_stack import sockets
from pxe_stack.loaders import Loader, Loaders
from pxe_stack.transfer import Transfer, agree

log = structlog.get_logger()

NOT_FOUND: Final = 1
DENIED: Final = 2
ILLEGAL: Final = 4

LONGEST_REQUEST: Final = 1024
"""Bytes of a request; RFC 2347 allows 512, and some firmware is longer."""
MOST_TRANSFERS: Final = 1024
MOST_OF_CLIENT: Final = 8
"""Transfers of one address at once: firmware that gave one up has begun another."""
TICK_S: Final = 0.25

_OPCODE: Final = struct.Struct("!H")
_ACK: Final = struct.Struct("!HH")
_REQUESTS: Final = frozenset({1, 2})
_ACKS: Final = 4
_ERROR: Final = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A read request: a name from the wire, its mode, and options by lower-case name."""

    name: str
    mode: str
    options: Mapping[str, str]


class Refused(Exception):
    """A request that is answered with an ERROR packet of *code*; *name* is what it asked for."""

    def __init__(self, code: int, why: str, name: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended: *error* is empty when every block was confirmed.  Times in seconds."""

    client: str
    name: str
    size: int = 0
    blocks: int = 0
    seconds: float = 0.0
    blksize: int = 0
    window: int = 0
    resent: int = 0
    error: str = ""


def read(raw: bytes) -> Asked:
    """Return the read request that *raw* is, or raise Refused: whatever is wrong with it."""
    if len(raw) > LONGEST_REQUEST:
        raise Refused(ILLEGAL, "the request is too long")
    try:
        packet = TftpPacketFactory().parse(raw)
        options = {name.lower(): value for name, value in packet.options.items()}
        asked = Asked(str(packet.filename), str(packet.mode), options)
    except Exception as exc:  # tftpy raises all kinds, by what a stranger wrote
        raise Refused(ILLEGAL, f"not a TFTP request: {exc}"[:200]) from exc
    if raw[:2] != b"\x00\x01":
        raise Refused(DENIED, "nothing is written here", asked.name)
    if asked.mode not in {"octet", "netascii"}:
        raise Refused(ILLEGAL, f"no such mode: {asked.mode}"[:80], asked.name)
    return asked


def error_packet(code: int) -> bytes:
    """Return the ERROR packet of *code*."""
    packet = TftpPacketERR()
    packet.errorcode = code
    return bytes(packet.encode().buffer)


def oack_packet(answer: Mapping[str, str]) -> bytes:
    """Return the OACK that answers with *answer*."""
    packet = TftpPacketOACK()
    packet.options = dict(answer)
    return bytes(packet.encode().buffer)


def as_netascii(data: bytes) -> bytes:
    """Return *data* with the line ends of RFC 764, as mode netascii has them."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


@dataclass(slots=True)
class _Session:
    """One transfer on its own socket, connected to the client that asked."""

    sock: socket.socket
    peer: tuple[str, int]
    name: str
    transfer: Transfer


class Server:
    """Serves *loaders* to whoever asks *listener*; tells *report* how each request ended."""

    def __init__(
        self, listener: socket.socket, loaders: Loaders, report: Callable[[Outcome], None]
    ) -> None:
        self._listener = listener
        self._address = listener.getsockname()[0]
        self._loaders = loaders
        self._report = report
        self._selector = selectors.DefaultSelector()
        self._sessions: dict[tuple[str, int], _Session] = {}
        self._clients: Counter[str] = Counter()

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._selector.register(stop, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while True:
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    return
                self._guarded(key.data)
            self._guarded(self._look_at_clocks)

    def close(self) -> None:
        """Give up every transfer and close every socket."""
        for session in list(self._sessions.values()):
            self._end(session, "the server stops")
        self._selector.close()
        self._listener.close()

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # one client, whatever it did, does not stop the others
            log.exception("tftp.failed")

    def _accept(self) -> None:
        for _ in range(64):
            try:
                raw, peer = self._listener.recvfrom(2048)
            except BlockingIOError:
                return
            # Anything else on this port is stray, and an answer to it could echo for ever.
            if len(raw) >= 2 and _OPCODE.unpack_from(raw)[0] in _REQUESTS:
                self._begin(raw, peer)

    def _begin(self, raw: bytes, peer: tuple[str, int]) -> None:
        if peer in self._sessions or len(self._sessions) >= MOST_TRANSFERS:
            return  # a repeated request is answered already; a refused one comes again
        try:
            asked = read(raw)
            loader = self._loader(asked.name)
        except Refused as refused:
            self._listener.sendto(error_packet(refused.code), peer)
            self._report(Outcome(client=peer[0], name=refused.name[:128], error=str(refused)))
            return
        self._make_room(peer[0])
        data = as_netascii(loader.data) if asked.mode == "netascii" else loader.data
        transfer = Transfer(memoryview(data), agree(asked.options, len(data)), time.monotonic())
        self._open(_Session(self._socket(peer), peer, loader.name, transfer))

    def _loader(self, name: str) -> Loader:
        loader = self._loaders.find(name)
        if loader is None:
            raise Refused(NOT_FOUND, "no such loader here", name)
        return loader

    def _socket(self, peer: tuple[str, int]) -> socket.socket:
        sock = sockets.udp(self._address, 0)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 512 * 1024)
            sock.connect(peer)
        except OSError:
            sock.close()
            raise
        return sock

    def _open(self, session: _Session) -> None:
        self._sessions[session.peer] = session
        self._clients[session.peer[0]] += 1
        self._selector.register(session.sock, selectors.EVENT_READ, lambda: self._receive(session))
        self._send(session)

    def _make_room(self, client: str) -> None:
        """End the oldest transfer of a client that has too many."""
        if self._clients[client] < MOST_OF_CLIENT:
            return
        oldest = next(s for s in self._sessions.values() if s.peer[0] == client)
        self._end(oldest, "given up by the client")

    def _receive(self, session: _Session) -> None:
        for _ in range(32):
            if session.peer not in self._sessions:
                return
            try:
                self._take(session, session.sock.recv(2048))
            except BlockingIOError:
                return
            except ConnectionError:
                self._end(session, "the client is gone")

    def _take(self, session: _Session, raw: bytes) -> None:
        if len(raw) < _ACK.size:
            return
        opcode, number = _ACK.unpack_from(raw)
        if opcode == _ERROR:
            text = raw[4:104].split(b"\0")[0].decode("ascii", "replace")
            self._end(session, f"client error {number} {text}".rstrip())
        elif opcode == _ACKS and session.transfer.on_ack(number, time.monotonic()):
            self._send(session)
        elif session.transfer.done:
            self._end(session)

    def _send(self, session: _Session) -> None:
        """Send the OACK, or the window that is due."""
        transfer, now = session.transfer, time.monotonic()
        try:
            if transfer.awaits_oack:
                transfer.sent_at = now
                session.sock.send(oack_packet(transfer.agreed.answer))
                return
            for header, payload in transfer.window(now):
                session.sock.sendmsg((header, payload))
        except BlockingIOError:
            return  # the rest of the window is as good as lost, and comes again
        except OSError as exc:
            self._end(session, f"cannot send: {exc.strerror}")

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        for session in [s for s in self._sessions.values() if s.transfer.due <= now]:
            if not session.transfer.on_silence():
                self._end(session, "no answer")
            else:
                self._send(session)

    def _end(self, session: _Session, error: str = "") -> None:
        if self._sessions.pop(session.peer, None) is None:
            return
        client = session.peer[0]
        self._clients[client] -= 1
        if self._clients[client] <= 0:
            del self._clients[client]
        self._selector.unregister(session.sock)
        session.sock.close()
        self._report(_outcome(session, error))


def _outcome(session: _Session, error: str) -> Outcome:
    transfer = session.transfer
    return Outcome(
        client=session.peer[0],
        name=session.name,
        size=len(transfer.data),
        blocks=transfer.acked,
        seconds=time.monotonic() - transfer.begun,
        blksize=transfer.agreed.blksize,
        window=transfer.agreed.window,
        resent=transfer.resent,
        error=error,
    )
