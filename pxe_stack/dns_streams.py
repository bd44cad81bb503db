"""DNS by TCP (RFC 7766): messages with their length before them, any number on a connection.

Bounded throughout: connections in all and of one client, the size of a query, replies that wait
to be taken, and the time in which a whole query must come.
"""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from pxe_stack.dns import Told

MOST: Final = 128
MOST_OF_CLIENT: Final = 16
PATIENCE_S: Final = 5.0
"""How long a client may take for a whole query, and for taking a reply."""
LONGEST_QUERY: Final = 4096
MOST_WAITING: Final = 64 * 1024
"""Bytes of replies that wait; as long as there are more, no query is taken."""

_LENGTH: Final = Struct("!H")

Take = Callable[[bytes, "Stream"], None]


@dataclass(slots=True, eq=False)
class Stream:
    """One client's connection; *since* is when it last sent a whole query, or took a reply."""

    sock: socket.socket
    client: str
    since: float
    came: bytearray = field(default_factory=bytearray)
    waits: bytearray = field(default_factory=bytearray)
    open: bool = True

    def next_query(self) -> bytes | None:
        """Take the next whole message from what came.  Raises ValueError for what is none."""
        if len(self.came) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self.came)
        if length > LONGEST_QUERY:
            raise ValueError(length)
        end = _LENGTH.size + length
        if len(self.came) < end:
            return None
        message = bytes(self.came[_LENGTH.size : end])
        del self.came[:end]
        return message


class Streams:
    """All connections to *listener*; each whole query goes to *take*."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        take: Take,
        count: Callable[[Told], None],
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._take = take
        self._count = count
        self._open: dict[socket.socket, Stream] = {}
        self._clients: Counter[str] = Counter()
        listener.setblocking(False)  # noqa: FBT003 - the name of the standard library
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def __len__(self) -> int:
        return len(self._open)

    def send(self, stream: Stream, message: bytes) -> None:
        """Send *message* when the client takes it; nothing if it has gone."""
        if stream.open:
            stream.waits += _LENGTH.pack(len(message)) + message
            self._flush(stream)

    def look_at_clock(self, now: float) -> None:
        """Close connections whose client takes too long."""
        for stream in [s for s in self._open.values() if now - s.since > PATIENCE_S]:
            if stream.came or stream.waits:
                self._count(Told.STREAM_TIMED_OUT)
            self._close(stream)

    def close(self) -> None:
        for stream in list(self._open.values()):
            self._close(stream)
        self._listener.close()

    def _accept(self, _events: int) -> None:
        try:
            sock, (client, _) = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        if self._clients[client] >= MOST_OF_CLIENT:
            self._count(Told.TOO_MANY_STREAMS)
            sock.close()
            return
        if len(self._open) >= MOST:  # whoever has said nothing for longest makes room
            self._count(Told.TOO_MANY_STREAMS)
            self._close(min(self._open.values(), key=lambda stream: stream.since))
        sock.setblocking(False)  # noqa: FBT003 - the name of the standard library
        stream = Stream(sock, client, time.monotonic())
        self._open[sock] = stream
        self._clients[client] += 1
        self._selector.register(sock, selectors.EVENT_READ, lambda e: self._ready(stream, e))

    def _ready(self, stream: Stream, events: int) -> None:
        if events & selectors.EVENT_WRITE and stream.open:
            self._flush(stream)
            self._answer(stream)
        if events & selectors.EVENT_READ and stream.open:
            self._receive(stream)

    def _receive(self, stream: Stream) -> None:
        try:
            came = stream.sock.recv(LONGEST_QUERY + _LENGTH.size)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if not came:
            self._close(stream)
            return
        stream.came += came
        self._answer(stream)

    def _answer(self, stream: Stream) -> None:
        """Hand on each whole query, as long as replies are taken."""
        while stream.open and len(stream.waits) <= MOST_WAITING:
            try:
                query = stream.next_query()
            except ValueError:
                self._count(Told.MALFORMED)
                self._close(stream)
                return
            if query is None:
                return
            stream.since = time.monotonic()
            self._take(query, stream)

    def _flush(self, stream: Stream) -> None:
        try:
            sent = stream.sock.send(stream.waits) if stream.waits else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(stream)
            return
        if sent:
            del stream.waits[:sent]
            stream.since = time.monotonic()
        self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        """Listen for what is next: room to write in, or, if not too much waits, a query."""
        events = selectors.EVENT_WRITE if stream.waits else 0
        if len(stream.waits) <= MOST_WAITING:
            events |= selectors.EVENT_READ
        key = self._selector.get_key(stream.sock)
        if key.events != events:
            self._selector.modify(stream.sock, events, key.data)

    def _close(self, stream: Stream) -> None:
        if not stream.open:
            return
        stream.open = False
        del self._open[stream.sock]
        self._selector.unregister(stream.sock)
        stream.sock.close()
        self._clients[stream.client] -= 1
        if not self._clients[stream.client]:
            del self._clients[stream.client]
