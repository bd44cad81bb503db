"""TFTP's transfers under way: what comes from their clients, and what goes to them."""

import select
import time
from collections import Counter
from collections.abc import Callable

from pxe_stack import sockets, tftp_packets, tftp_sockets
from pxe_stack.cuts import Cuts
from pxe_stack.loaders import Loader
from pxe_stack.tftp_outcome import Counted, Outcome, Why
from pxe_stack.tftp_packets import Asked
from pxe_stack.tftp_table import Peer, Session, Table
from pxe_stack.transfer import Next, Transfer, agree

_ACK = b"\0\4"
_ERROR = b"\0\5"


class Transfers:
    """Transfers of *table*, whose sockets are watched by *epoll*; *report* is told how each ended.

    What is not worth a telling is added to *counts*, by the values of Counted.
    """

    def __init__(
        self,
        epoll: select.epoll,
        report: Callable[[Outcome], None],
        counts: Counter[str],
        table: Table,
    ) -> None:
        self.table = table
        self._epoll = epoll
        self._report = report
        self._counts = counts
        self._cuts = Cuts()

    def room_for(self, client: str) -> bool:
        """Make room for another transfer of *client*; whether there is any."""
        superfluous = self.table.superfluous(client)
        if superfluous is not None:
            self.end(superfluous, Why.SUPERSEDED)
        if not self.table.full:
            return True
        unproven = self.table.least_proven()
        if unproven is None:
            self._counts[Counted.FULL] += 1
            return False
        self._counts[Counted.EVICTED] += 1
        self._close(unproven)
        return True

    def begin(self, raw: bytes, peer: Peer, local: str, asked: Asked, loader: Loader) -> None:
        """Begin to send *loader* to *peer*, who has asked for it by *raw* at our address *local*.

        Raises OSError when *peer* cannot be sent to.
        """
        data = loader.netascii if asked.mode == "netascii" else loader.data
        agreed = agree(asked.options, len(data))
        cut = self._cuts.cut(data, agreed.blksize)
        now = time.monotonic()
        session = Session(
            sock=tftp_sockets.connected(local, peer),
            peer=peer,
            raw=raw,
            name=loader.name,
            cut=cut,
            transfer=Transfer(agreed=agreed, total=cut.blocks, begun=now),
        )
        if agreed.window > 1:
            session.run = tftp_sockets.segmented(session.sock, cut.stride)
        self.table.add(session)
        self._epoll.register(session.sock, select.EPOLLIN)
        self._send_first(session, now)

    def receive(self, session: Session) -> None:
        """Take one packet of the client of *session*."""
        try:
            raw = session.sock.recv(tftp_sockets.PEER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._gone(session)
            return
        if len(raw) >= 4:
            self._take(session, raw)

    def _take(self, session: Session, raw: bytes) -> None:
        number = raw[2] << 8 | raw[3]
        if raw[:2] == _ACK:
            now = time.monotonic()
            proven = session.transfer.proven
            called_for = session.transfer.on_ack(number, now)
            if not proven and session.transfer.proven:
                self.table.prove(session)
                self._cuts.make_ready(session.cut)
            if called_for is Next.SEND:
                self._send(session, now)
            elif called_for is Next.DONE:
                self.end(session)
        elif raw[:2] == _ERROR:
            self._on_error(session, number, raw[4:].split(b"\0")[0])

    def _on_error(self, session: Session, code: int, text: bytes) -> None:
        if session.transfer.acked:
            told = text.decode("ascii", "replace")
            self.end(session, Why.CLIENT_ERROR, f"{code} {told}".rstrip())
            return
        # UEFI and Intel's ROM ask for the size, abort, and then ask for the file.
        self._counts[Counted.PROBED] += 1
        self._close(session)

    def _send(self, session: Session, now: float) -> None:
        """Send the window that is due."""
        self._send_blocks(session, *session.transfer.window(now), now)

    def _send_blocks(self, session: Session, first: int, last: int, now: float) -> None:
        send, packets, run = session.sock.send, session.cut.packets, session.run
        start = first
        try:
            for start in range(first, last, run):
                send(packets(start, min(start + run, last)))
        except BlockingIOError:
            return  # the rest of the window is as good as lost, and comes again
        except OSError as exc:
            if session.run > 1 and exc.errno in sockets.NO_SEGMENTS:
                session.run = 1
                tftp_sockets.unsegmented(session.sock)
                self._send_blocks(session, start, last, now)
            else:
                self._cannot_send(session, exc)

    def _cannot_send(self, session: Session, exc: OSError) -> None:
        if isinstance(exc, ConnectionError):
            self._gone(session)
        else:
            self.end(session, Why.CANNOT_SEND, exc.strerror or "")

    def _gone(self, session: Session) -> None:
        """End a transfer whose client has closed its port.

        After the last block that is well: its ACK was lost, and nobody was left to say it again.
        """
        self.end(session, None if session.transfer.all_sent else Why.CLIENT_GONE)

    def _send_first(self, session: Session, now: float) -> None:
        """Send the OACK, or the first block where no options are answered."""
        transfer = session.transfer
        if not transfer.awaits_oack:
            self._send(session, now)
            return
        transfer.sent(now)
        try:
            session.sock.send(tftp_packets.oack_packet(transfer.agreed.answer))
        except OSError as exc:
            self._cannot_send(session, exc)

    def look_at_clocks(self, now: float) -> None:
        """Send again to clients that have been silent for too long, or give them up."""
        for session in self.table.due(now):
            match session.transfer.on_silence(now):
                case Next.SEND:
                    self._send_first(session, now)
                case Next.TOO_SLOW:
                    self.end(session, Why.TOO_SLOW)
                case _:
                    self.end(session, Why.NO_ANSWER)

    def close(self) -> None:
        """Give up every transfer."""
        for session in list(self.table.by_fd.values()):
            self.end(session, Why.STOPPING)

    def end(self, session: Session, why: Why | None = None, detail: str = "") -> None:
        """End *session*, and tell why: None for a file that has come whole."""
        if not self._close(session):
            return
        if session.is_canary:
            self._counts[Counted.CANARY] += 1
        else:
            self._report(_outcome(session, why, detail))

    def _close(self, session: Session) -> bool:
        """Forget *session*; whether it was still under way."""
        known = self.table.remove(session)
        session.sock.close()  # the kernel takes it out of the epoll
        return known


def _outcome(session: Session, why: Why | None, detail: str) -> Outcome:
    transfer = session.transfer
    return Outcome(
        client=session.peer[0],
        name=session.name,
        size=len(session.cut.data),
        blocks=transfer.acked,
        seconds=time.monotonic() - transfer.begun,
        blksize=transfer.agreed.blksize,
        window=transfer.agreed.window,
        resent=transfer.resent,
        why=why,
        detail=detail,
    )
