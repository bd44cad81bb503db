"""All connections of one process in one thread: accepted, bounded, and ended when they take long.

Rule 1: nothing here waits for a client, a disk's write or a lock.
Rule 2: who has waited longest for its client makes room for a new one when all places are taken.
"""

import os
import resource
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from pxe_stack.http_answer import Answer
from pxe_stack.http_line import Line, Patience, State
from pxe_stack.http_message import Request, request_id

log = structlog.get_logger()

SWEEP_S: Final = 0.5
COMPLAIN_S: Final = 60.0
"""Between two log lines about connections that could not be accepted."""
GRACE_S: Final = 2.0
ACCEPTS: Final = 64
"""Connections that are accepted before others have their turn."""
TURNS: Final = 64
"""Turns of connections before it is looked for new ones."""
_BUSY: Final = (
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n"
    "X-Request-Id: {}\r\n\r\n"
)
_EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Connections at once, of one client and of all, and how long each may keep us waiting.

    *unbounded* are clients that speak for others: proxies that are trusted.
    """

    per_client: int = 64
    total: int = 4096
    patience: Patience = field(default_factory=Patience)
    unbounded: frozenset[str] = frozenset()


Take = Callable[[Line, Request], None]


class Loop:
    """The connections of *listener*; without one, those that :meth:`adopt` is given."""

    def __init__(self, listener: socket.socket | None, take: Take, limits: Limits) -> None:
        self._listener = listener
        self._take = take
        self._limits = limits
        self._total = min(limits.total, _descriptors() // 3)
        self._lines: dict[int, Line] = {}
        self._ready: deque[Line] = deque()
        self._clients: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._posted: deque[tuple[Line, Answer]] = deque()
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._swept = time.monotonic()
        self._complained = -COMPLAIN_S
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake, self._collect)
        if listener is not None:
            listener.settimeout(0)
            self.watch(listener.fileno(), self._accept)

    def watch(self, descriptor: int, act: Callable[[], None]) -> None:
        """Call *act* whenever *descriptor* can be read."""
        self._watched[descriptor] = act
        self._epoll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor: int) -> None:
        """Watch *descriptor* no more."""
        self._watched.pop(descriptor, None)
        with suppress(OSError, ValueError):
            self._epoll.unregister(descriptor)

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* can be read."""
        stopped: list[bool] = []
        self.watch(stop.fileno(), lambda: stopped.append(True))
        while not stopped:
            self.step(0.0 if self._ready else SWEEP_S)

    def step(self, wait_s: float) -> None:
        """Wait for at most *wait_s* seconds, and do what there is to do."""
        for descriptor, _ in self._epoll.poll(wait_s, 256):
            line = self._lines.get(descriptor)
            if line is not None:
                self._ready.append(line)
            elif descriptor in self._watched:
                self._watched[descriptor]()
        for _ in range(min(TURNS, len(self._ready))):
            self._turn(self._ready.popleft())
        if (now := time.monotonic()) - self._swept >= SWEEP_S:
            self._sweep(now)

    def post(self, answers: list[tuple[Line, Answer]]) -> None:
        """Have each line send its answer; any thread may call this."""
        self._posted.extend(answers)
        os.eventfd_write(self._wake, 1)

    def adopt(self, sock: socket.socket, received: bytes = b"") -> None:
        """Serve the connection *sock*, of which *received* has come already."""
        try:
            client = sock.getpeername()[0]
            line = Line(sock, client, self._limits.patience, self._take, self.counts)
        except OSError:
            sock.close()  # gone before it was looked at
            return
        if not self._has_room(client):
            self.counts["http busy"] += 1
            _refuse(sock)
            return
        line.received += received
        self._lines[sock.fileno()] = line
        self._clients[client] += 1
        self._epoll.register(sock.fileno(), _EDGES)
        if received:
            self._turn(line)

    def release(self, line: Line) -> socket.socket:
        """Return the socket of *line*, which is served here no more."""
        self._drop(line)
        line.state = State.CLOSED
        return line.sock

    def end(self) -> None:
        """Accept no more, let answers that are due leave, and end every connection."""
        if self._listener is not None:
            self.forget(self._listener.fileno())
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and self._owes():
            self.step(0.05)
        for line in list(self._lines.values()):
            self._end(line)

    def _owes(self) -> bool:
        due = {State.ANSWER, State.SENDING}
        return any(each.state in due and not each.is_file for each in self._lines.values())

    def close(self) -> None:
        """Give back what the loop itself holds; nobody may post to it any more."""
        self._epoll.close()
        os.close(self._wake)

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - it is what was watched
        for _ in range(ACCEPTS):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:  # out of descriptors, or the client has gone
                self._not_accepted(exc)
                self._make_room()
                return
            self.adopt(sock)

    def _not_accepted(self, exc: OSError) -> None:
        """Count it; the log has a line now and then, since under flood each try fails."""
        self.counts["http not-accepted"] += 1
        if (now := time.monotonic()) - self._complained >= COMPLAIN_S:
            self._complained = now
            log.warning("http.not-accepted", why=exc.strerror)

    def _has_room(self, client: str) -> bool:
        over = self._clients[client] >= self._limits.per_client
        if over and client not in self._limits.unbounded:
            return False
        return len(self._lines) < self._total or self._make_room()

    def _make_room(self) -> bool:
        """End the connection that has waited longest for its client; False when all are busy."""
        oldest = next((each for each in self._lines.values() if each.waits_for_client), None)
        if oldest is None:
            return False
        self.counts["http made-room"] += 1
        self._end(oldest)
        return True

    def _turn(self, line: Line) -> None:
        if line.closed:
            return
        try:
            more = line.turn()
        except OSError:
            self._end(line)
        except Exception:  # one client, whatever it did, does not stop the others
            log.exception("http.failed", request_id=line.id)
            self._end(line)
        else:
            if more and not line.closed:
                self._ready.append(line)

    def _collect(self) -> None:
        os.eventfd_read(self._wake)
        while self._posted:
            line, answer = self._posted.popleft()
            if line.state is State.ANSWER:
                line.answer(answer)
                self._turn(line)

    def _sweep(self, now: float) -> None:
        self._swept = now
        for line in [each for each in self._lines.values() if each.deadline <= now]:
            self.counts[f"http timed-out {line.state.name.lower()}"] += 1
            self._end(line)

    def _end(self, line: Line) -> None:
        self._drop(line)
        line.close()

    def _drop(self, line: Line) -> None:
        descriptor = line.sock.fileno()
        if self._lines.pop(descriptor, None) is None:
            return
        self._epoll.unregister(descriptor)
        self._clients[line.client] -= 1
        if not self._clients[line.client]:
            del self._clients[line.client]


def _refuse(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.send(_BUSY.format(request_id({})).encode("ascii"))
    sock.close()


def _descriptors() -> int:
    """Return how many files this process may have open, after asking for all it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft
