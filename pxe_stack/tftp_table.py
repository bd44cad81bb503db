"""The transfers under way: who has how many, and who goes when there are too many.  No I/O."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pxe_stack.canary_mark import asks_tftp
from pxe_stack.cuts import Cut
from pxe_stack.transfer import Transfer

Peer = tuple[str, int]

MOST: Final = 4096
"""Transfers at once."""
MOST_UNPROVEN: Final = 2048
"""Of them, those whose client has confirmed nothing yet."""
MOST_OF_CLIENT: Final = 8
"""Transfers of one address: firmware that gave one up has begun another."""
SILENT_S: Final = 3.0
"""Who has confirmed nothing for so long may have begun anew."""


@dataclass(slots=True, eq=False, kw_only=True)
class Session:
    """One transfer on its own socket, connected to the client that asked by the packet *raw*.

    The kernel gives it that client's packets alone; strangers are told by ICMP.  *run* is how
    many packets one system call may send.
    """

    sock: socket.socket
    peer: Peer
    raw: bytes
    name: str
    cut: Cut
    transfer: Transfer
    run: int = 1

    @property
    def is_canary(self) -> bool:
        """Whether the site's own canary asked, which makes no row."""
        return asks_tftp(self.raw)

    def is_repeated_by(self, raw: bytes, now: float) -> bool:
        """Whether the request *raw* is this one again, and not that of a client begun anew.

        Some ROMs ask from the same port each time they are started: then this transfer is silent.
        One that goes on is not ended by a request that comes late.
        """
        going_on = now - self.transfer.progress_at < SILENT_S
        return raw == self.raw and (going_on or not self.transfer.proven)


class Table:
    """Sessions by socket, by who asked, and by how much they have proven."""

    def __init__(self, most: int = MOST, most_unproven: int = MOST_UNPROVEN) -> None:
        self.by_fd: dict[int, Session] = {}
        self._by_peer: dict[Peer, Session] = {}
        self._by_client: dict[str, dict[Peer, Session]] = {}
        self._unproven: dict[Peer, Session] = {}
        self._most = most
        self._most_unproven = most_unproven

    def of(self, peer: Peer) -> Session | None:
        """Return the session with *peer*."""
        return self._by_peer.get(peer)

    def add(self, session: Session) -> None:
        self.by_fd[session.sock.fileno()] = session
        self._by_peer[session.peer] = session
        self._by_client.setdefault(session.peer[0], {})[session.peer] = session
        self._unproven[session.peer] = session

    def remove(self, session: Session) -> bool:
        """Take *session* out, before its socket is closed; whether it was there."""
        if self.by_fd.pop(session.sock.fileno(), None) is None:
            return False
        client = session.peer[0]
        del self._by_peer[session.peer]
        del self._by_client[client][session.peer]
        if not self._by_client[client]:
            del self._by_client[client]
        self._unproven.pop(session.peer, None)
        return True

    def prove(self, session: Session) -> None:
        """Note that the client of *session* is there: it has answered from where it asked."""
        self._unproven.pop(session.peer, None)

    def superfluous(self, client: str) -> Session | None:
        """Return the transfer that *client* has most likely given up, if it has too many."""
        held = self._by_client.get(client, {})
        if len(held) < MOST_OF_CLIENT:
            return None
        return min(held.values(), key=lambda session: session.transfer.progress_at)

    @property
    def full(self) -> bool:
        """Whether another one needs somebody to go."""
        return len(self.by_fd) >= self._most or len(self._unproven) >= self._most_unproven

    def least_proven(self) -> Session | None:
        """Return the eldest whose client never answered: nobody else goes for a newcomer."""
        return next(iter(self._unproven.values()), None)

    def due(self, now: float) -> Iterator[Session]:
        """Yield the sessions that have waited for long enough."""
        yield from [each for each in self.by_fd.values() if each.transfer.due <= now]
