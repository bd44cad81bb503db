"""TFTP: one epoll loop, one socket for each transfer, and a closed table of names.

Every packet that a stranger can send ends in an answer, a row or a count, and never in the loop's
end.  Rules of when to send what are in transfer, of who may have how much in tftp_table.
"""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from pxe_stack import tftp_packets, tftp_sockets
from pxe_stack.allowance import Allowance
from pxe_stack.canary_mark import asks_tftp
from pxe_stack.loaders import Loader, Loaders
from pxe_stack.tftp_contract import Contract, masked
from pxe_stack.tftp_outcome import Counted, Outcome, Why
from pxe_stack.tftp_packets import Asked, Code, Refused
from pxe_stack.tftp_table import Peer, Table
from pxe_stack.tftp_transfers import Transfers

log = structlog.get_logger()

TICK_S: Final = 0.1
"""How often clocks are looked at, while there are transfers."""
REQUESTS_AT_ONCE: Final = 8
"""Then transfers under way have their turn."""
REQUESTS_PER_S: Final = 50
"""Of one address; a request costs as much as twenty blocks."""
MOST_REQUESTS_PER_S: Final = 4_000
ERRORS_PER_S: Final = 10
"""To one address: none is longer than what provoked it, but he who is named may not have asked."""
MOST_ERRORS_PER_S: Final = 500

_REQUESTS: Final = (b"\0\1", b"\0\2")
_STRAYS: Final = (b"\0\3", b"\0\4", b"\0\6")


class Server:
    """Serves *loaders* to whoever asks *listener*; tells *report* how each request ended.

    What is made for who asks is *contract*'s, where there is one.

    What is not worth a telling is added to *counts*, by the values of Counted.
    """

    def __init__(
        self,
        listener: socket.socket,
        loaders: Loaders,
        report: Callable[[Outcome], None],
        counts: Counter[str],
        table: Table | None = None,
        *,
        contract: Contract | None = None,
    ) -> None:
        self._contract = contract
        self._listener = listener
        self._loaders = loaders
        self._report = report
        self._epoll = select.epoll()
        self._counts = counts
        self._transfers = Transfers(self._epoll, report, counts, table or Table())
        self._requests = Allowance(REQUESTS_PER_S, MOST_REQUESTS_PER_S)
        self._errors = Allowance(ERRORS_PER_S, MOST_ERRORS_PER_S)

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._epoll.register(stop, select.EPOLLIN)
        self._epoll.register(self._listener, select.EPOLLIN)
        under_way, stopping, look_at = self._transfers.table.by_fd, stop.fileno(), 0.0
        while True:
            for fd, _ in self._epoll.poll(TICK_S if under_way else None):
                if fd == stopping:
                    return
                self._serve(fd)
            now = time.monotonic()
            if now >= look_at:
                look_at = now + TICK_S
                self._transfers.look_at_clocks(now)

    def close(self) -> None:
        """Give up every transfer and close every socket."""
        self._transfers.close()
        self._epoll.close()
        self._listener.close()

    def _serve(self, fd: int) -> None:
        session = self._transfers.table.by_fd.get(fd)
        try:
            if session is not None:
                self._transfers.receive(session)
            else:
                self._accept()
        except Exception:  # one client, whatever it did, does not stop the others
            log.exception("tftp.failed")
            if session is not None:
                self._transfers.end(session, Why.FAILED)

    def _accept(self) -> None:
        for _ in range(REQUESTS_AT_ONCE):
            try:
                raw, ancillary, _, peer = self._listener.recvmsg(
                    tftp_packets.LONGEST_REQUEST + 1, tftp_sockets.ANCILLARY_BYTES
                )
            except BlockingIOError:
                return
            local = tftp_sockets.asked_at(ancillary)
            if local is None:
                self._counts[Counted.BROADCAST] += 1  # not to be answered (RFC 1123 §4.2.3.5)
            elif raw[:2] in _REQUESTS:
                self._on_request(raw, peer, local)
            elif raw[:2] in _STRAYS:
                self._counts[Counted.STRAY] += 1
                self._say_error(Code.STRANGER, peer, local)
            else:
                self._counts[Counted.IGNORED] += 1

    def _on_request(self, raw: bytes, peer: Peer, local: str) -> None:
        before = self._transfers.table.of(peer)
        if before is not None and before.is_repeated_by(raw, time.monotonic()):
            self._counts[Counted.REPEATED] += 1
            return  # what was answered is sent again by the clock
        if not self._requests.take(peer[0], time.monotonic()):
            self._counts[Counted.TOO_MANY] += 1
            return
        try:
            asked = tftp_packets.read(raw)
            loader = self._loader(asked, peer[0])
            if before is not None:
                self._transfers.end(before, Why.SUPERSEDED)
            if self._transfers.room_for(peer[0]):
                self._transfers.begin(raw, peer, local, asked, loader)
        except Refused as refused:
            self._refuse(refused, peer, local, canary=asks_tftp(raw))
        except OSError:
            self._counts[Counted.UNANSWERABLE] += 1

    def _loader(self, asked: Asked, client: str) -> Loader:
        name = masked(asked.name)
        try:
            loader = self._loaders.find(asked.name)
            if loader is None and self._contract is not None:
                loader = self._contract.find(asked.name, client)
        except OSError as exc:
            raise Refused(Code.DENIED, Why.UNREADABLE, exc.strerror or "", name) from exc
        if loader is None:
            raise Refused(Code.NOT_FOUND, Why.NO_SUCH_FILE, name=name)
        return loader

    def _refuse(self, refused: Refused, peer: Peer, local: str, *, canary: bool) -> None:
        self._say_error(refused.code, peer, local)
        if canary:
            self._counts[Counted.CANARY] += 1
            return
        self._report(
            Outcome(client=peer[0], name=refused.name, why=refused.why, detail=refused.detail)
        )

    def _say_error(self, code: Code, peer: Peer, local: str) -> None:
        if not self._errors.take(peer[0], time.monotonic()):
            self._counts[Counted.ERROR_HELD_BACK] += 1
            return
        try:
            tftp_sockets.answer(self._listener, tftp_packets.error_packet(code), peer, local)
        except OSError:
            self._counts[Counted.UNANSWERABLE] += 1
