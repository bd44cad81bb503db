"""Questions about other zones, put to other servers for machines of the provisioning networks.

Each question has a socket of its own, connected to one server, from a port that the kernel picks,
under a random number: who would forge an answer must guess all three (RFC 5452).
"""

import secrets
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pxe_stack import dns
from pxe_stack.dns import Told
from pxe_stack.dns_wire import HEADER, Query

MOST: Final = 512
MOST_OF_CLIENT: Final = 64
PATIENCE_S: Final = 1.5
"""How long one server may take."""
ROUNDS: Final = 2
LONGEST_REPLY: Final = 65535
DNS_PORT: Final = 53

Deliver = Callable[[bytes], None]


@dataclass(slots=True, eq=False)
class Asking:
    """One question under way; *left* are the servers that are asked after this one."""

    raw: bytes
    query: Query
    client: str
    stream: bool
    deliver: Deliver
    left: list[str]
    server: str = ""
    sock: socket.socket | None = None
    number: bytes = b""
    until: float = 0.0
    came: bytearray = field(default_factory=bytearray)

    @property
    def message(self) -> bytes:
        """The question under the number that it goes out with."""
        plain = self.number + self.raw[2:]
        return len(plain).to_bytes(2, "big") + plain if self.stream else plain

    def answered_by(self, reply: bytes) -> bool:
        """Whether *reply* answers this very question (RFC 5452 §9.1)."""
        end = self.query.end
        return (
            len(reply) >= end
            and reply[:2] == self.number
            and bool(reply[2] & 0x80)
            and reply[4:6] == b"\0\1"
            and reply[HEADER:end].lower() == self.raw[HEADER:end].lower()
        )


class Forwarder:
    """Asks *servers*, the one that answered last before the others."""

    def __init__(
        self,
        servers: Sequence[str],
        selector: selectors.BaseSelector,
        count: Callable[[Told], None],
        port: int = DNS_PORT,
    ) -> None:
        self._servers = list(servers)
        self._selector = selector
        self._count = count
        self._port = port
        self._asking: dict[Asking, None] = {}
        self._clients: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._servers)

    def __len__(self) -> int:
        return len(self._asking)

    def ask(self, raw: bytes, query: Query, *, client: str, stream: bool, deliver: Deliver) -> bool:
        """Put *query* to other servers, and give *deliver* what is said; False: there is no room.

        What went out by TCP came by TCP: a reply that is cut off brings its client here again.
        """
        if len(self._asking) >= MOST or self._clients[client] >= MOST_OF_CLIENT:
            return False
        left = self._servers * ROUNDS
        asking = Asking(raw, query, client, stream, deliver, left)
        self._asking[asking] = None
        self._clients[client] += 1
        self._next(asking)
        return True

    def look_at_clock(self, now: float) -> None:
        """Ask another server where one takes too long."""
        for asking in [each for each in self._asking if each.until <= now]:
            self._next(asking)

    def close(self) -> None:
        for asking in list(self._asking):
            self._hang_up(asking)
        self._asking.clear()

    def _next(self, asking: Asking) -> None:
        """Ask the next server; when there is none, say that nobody knew."""
        self._hang_up(asking)
        while asking.left:
            asking.server = asking.left.pop(0)
            try:
                self._call(asking)
            except OSError:
                self._hang_up(asking)
            else:
                return
        self._end(asking, dns.failure(asking.query).wire, Told.UNANSWERED)

    def _call(self, asking: Asking) -> None:
        kind = socket.SOCK_STREAM if asking.stream else socket.SOCK_DGRAM
        asking.sock = sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)  # noqa: FBT003 - the name of the standard library
        asking.number = secrets.token_bytes(2)
        asking.until = time.monotonic() + PATIENCE_S
        asking.came.clear()
        if asking.stream:
            sock.connect_ex((asking.server, self._port))
            events = selectors.EVENT_WRITE
        else:
            sock.connect((asking.server, self._port))
            sock.send(asking.message)
            events = selectors.EVENT_READ
        self._selector.register(sock, events, lambda e: self._ready(asking, sock, e))

    def _ready(self, asking: Asking, sock: socket.socket, events: int) -> None:
        if asking.sock is not sock:  # given up in this same round of events
            return
        try:
            if events & selectors.EVENT_WRITE:  # connected, or refused: then sending raises
                sock.send(asking.message)
                key = self._selector.get_key(sock)
                self._selector.modify(sock, selectors.EVENT_READ, key.data)
                return
            came = sock.recv(LONGEST_REPLY)
        except BlockingIOError:
            return
        except OSError:
            self._next(asking)
            return
        self._came(asking, came)

    def _came(self, asking: Asking, came: bytes) -> None:
        if not asking.stream:
            if asking.answered_by(came):
                self._answered(asking, came)
            return  # anything else is a forgery: the answer may still come
        asking.came += came
        length = int.from_bytes(asking.came[:2], "big")
        if len(asking.came) >= 2 + length and length:
            reply = bytes(asking.came[2 : 2 + length])
            self._answered(asking, reply) if asking.answered_by(reply) else self._next(asking)
        elif not came:
            self._next(asking)

    def _answered(self, asking: Asking, reply: bytes) -> None:
        self._servers.sort(key=lambda server: server != asking.server)  # stable: the rest stay
        # The client sees its own spelling and number, whatever the server made of them.
        own = asking.raw[:2] + reply[2:HEADER] + asking.raw[HEADER : asking.query.end]
        self._end(asking, own + reply[asking.query.end :], Told.FORWARDED)

    def _end(self, asking: Asking, reply: bytes, told: Told) -> None:
        self._hang_up(asking)
        del self._asking[asking]
        self._clients[asking.client] -= 1
        if not self._clients[asking.client]:
            del self._clients[asking.client]
        self._count(told)
        asking.deliver(reply)

    def _hang_up(self, asking: Asking) -> None:
        if asking.sock is None:
            return
        if asking.sock in self._selector.get_map():
            self._selector.unregister(asking.sock)
        asking.sock.close()
        asking.sock = None
