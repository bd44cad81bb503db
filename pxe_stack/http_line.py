"""One connection: what came and is not read yet, what is to leave, until when it may wait.

Sockets never block here.  epoll tells of edges, so that each side is used until it says no.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

from models import installer_calls
from pxe_stack import http_message
from pxe_stack.forms import LARGEST
from pxe_stack.http_answer import Answer, FilePart, head_of, plain
from pxe_stack.http_message import Head, Refused, Request

READ: Final = 16 * 1024
TURN: Final = 1024 * 1024
"""Most bytes that one connection sends before others have their turn."""
_CALLS: Final = "/api/"
"""Below it, installers tell of all their disks."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """What a connection waits for."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    SENDING = auto()
    ENDING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that each state may last; *stall* is without a byte taken."""

    idle: float = 15.0
    head: float = 10.0
    body: float = 15.0
    answer: float = 30.0
    stall: float = 30.0
    ending: float = 2.0

    def of(self, state: State) -> float:
        """Return how long *state* may last."""
        return _PATIENCE[state](self)


_PATIENCE: Final[dict[State, Callable[[Patience], float]]] = {
    State.IDLE: lambda p: p.idle,
    State.HEAD: lambda p: p.head,
    State.BODY: lambda p: p.body,
    State.ANSWER: lambda p: p.answer,
    State.SENDING: lambda p: p.stall,
    State.ENDING: lambda p: p.ending,
    State.CLOSED: lambda _: 0.0,
}


class Line:
    """A client's connection; *take* is given each whole request, and answers when it can.

    *counts* are of answers, by status.
    *raw* is the head of the request that was taken, *received* what came after it; *id* is the
    request's.
    """

    __slots__ = (
        "_answer",
        "_at",
        "_bare",
        "_counts",
        "_file",
        "_head",
        "_keep",
        "_left",
        "_out",
        "_patience",
        "_take",
        "client",
        "deadline",
        "id",
        "raw",
        "received",
        "sock",
        "state",
    )

    def __init__(
        self,
        sock: socket.socket,
        client: str,
        patience: Patience,
        take: Callable[["Line", Request], None],
        counts: Counter[str],
    ) -> None:
        self.sock = sock
        self.client = client
        self.received = bytearray()
        self._patience = patience
        self._take = take
        self._counts = counts
        self._head: Head | None = None
        self._answer: Answer | None = None
        self._file: FilePart | None = None
        self._out: memoryview = memoryview(b"")
        self._at = 0
        self._left = 0
        self._keep = True
        self._bare = False
        self.raw = b""
        self.id = ""
        self.state = State.IDLE
        self.deadline = time.monotonic() + patience.head  # who connects has something to say
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def waits_for_client(self) -> bool:
        """Whether the next move is the client's: such a connection may be ended for another."""
        return self.state in {State.IDLE, State.HEAD, State.BODY, State.ENDING}

    @property
    def is_file(self) -> bool:
        """Whether what is being sent is a file, which may take long."""
        return self._file is not None

    @property
    def closed(self) -> bool:
        """Whether it is served no more."""
        return self.state is State.CLOSED

    def _enter(self, state: State) -> None:
        self.state = state
        self.deadline = time.monotonic() + self._patience.of(state)

    def turn(self) -> bool:
        """Do what can be done now; return whether more can be done at once.

        Raises OSError when the connection is lost.
        """
        if self.state is State.SENDING:
            return self._send()
        if self.state is State.ENDING:
            return self._drain()
        if self.state is State.ANSWER:
            return False
        return self._receive()

    def _receive(self) -> bool:
        if not self._parse():
            try:
                data = self.sock.recv(READ)
            except BlockingIOError:
                return False
            if not data:
                raise ConnectionResetError("the client has closed")
            self.received += data
            if self.state is State.IDLE:
                self._enter(State.HEAD)
            self._parse()
        return self.state not in {State.ANSWER, State.CLOSED}

    def _parse(self) -> bool:
        """Read a request from what was received; return whether one went on its way."""
        try:
            head = self._head or self._begin()
            body = None if head is None else self._body(head)
        except Refused as exc:
            self._keep = False
            self.answer(plain(exc.status))
            return True
        if head is None or body is None:
            return False
        self._head = None
        self._enter(State.ANSWER)
        told = head.request
        self._take(
            self,
            Request(
                method=told.method,
                path=told.path,
                query=told.query,
                fields=told.fields,
                client=self.client,
                body=body,
                id=self.id,
            ),
        )
        return True

    def _begin(self) -> Head | None:
        found = http_message.head(self.received) if self.received else None
        if found is None:
            return None
        head, length = self._head, _ = found
        self.raw = bytes(self.received[:length])
        del self.received[:length]
        self.id = http_message.request_id(head.request.fields)
        self._keep, self._bare = head.keep, head.request.method == "HEAD"
        if head.length > _most(head):
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if head.has_body:
            self._enter(State.BODY)
            if head.waits and not self.received:
                self.sock.send(_CONTINUE)
        return head

    def _body(self, head: Head) -> bytes | None:
        if not head.has_body:
            return b""
        if head.chunked:
            # Read anew with each piece that comes: installers say how long their calls are.
            found = http_message.chunks(self.received, LARGEST)
        elif len(self.received) < head.length:
            found = None
        else:
            found = bytes(self.received[: head.length]), head.length
        if found is None:
            return None
        del self.received[: found[1]]
        return found[0]

    def answer(self, answer: Answer) -> None:
        """Send *answer*, then read on or end."""
        self._counts[f"http {answer.status.value}"] += 1
        self._answer = answer
        request_id = self.id or http_message.request_id({})  # of what was no request
        head = head_of(answer, int(time.time()), keep=self._keep, request_id=request_id)
        if isinstance(answer.body, FilePart):
            self._file, self._at, self._left = answer.body, answer.body.start, answer.body.length
            self._out = memoryview(head)
        else:
            self._out = memoryview(head if self._bare else head + answer.body)
        self._enter(State.SENDING)

    def _send(self) -> bool:
        try:
            sent = self._push()
        except BlockingIOError:
            return False
        if sent:
            self.deadline = time.monotonic() + self._patience.stall
        if not self._out and not self._left:
            self._finish()
        return True

    def _push(self) -> int:
        if self._out:
            more = socket.MSG_MORE if self._left else 0
            sent = self.sock.send(self._out, more)
            self._out = self._out[sent:]
            return sent
        if self._file is None:
            return 0
        due = self._file.due(self._at, min(self._left, TURN))
        if isinstance(due, bytes):
            sent = self.sock.send(due)
        else:
            sent = os.sendfile(self.sock.fileno(), self._file.file.fileno(), self._at, due)
        if sent == 0:
            raise ConnectionAbortedError("the file has become shorter")
        self._at += sent
        self._left -= sent
        return sent

    def _finish(self) -> None:
        self._settle()
        self.id = ""
        if self._keep:
            self._enter(State.HEAD if self.received else State.IDLE)
            return
        self._enter(State.ENDING)
        self.received.clear()
        self.sock.shutdown(socket.SHUT_WR)

    def _drain(self) -> bool:
        """Read what still comes, so that no reset overtakes the answer (RFC 9112 §9.6)."""
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionResetError("both ends have closed")
        return True

    def _settle(self) -> None:
        """Tell how much of a body left, and close its file."""
        answer, self._answer = self._answer, None
        file, self._file = self._file, None
        if file is not None:
            length, left, self._left = file.length, self._left, 0
            file.close()
            if answer is not None and answer.sent is not None:
                answer.sent(length - left)

    def close(self) -> None:
        """End the connection; what was to be sent is lost."""
        self.state = State.CLOSED
        self._settle()
        self.sock.close()


def _most(head: Head) -> int:
    """Return the bytes of a body that are taken after *head*."""
    called = head.request.path.startswith(_CALLS)
    return installer_calls.LARGEST if called else LARGEST
