"""What DHCP has decided to say, until the leases among it lie on the disk; then it goes out.

Offers promise nothing lasting and leave first, so that clients are at work while the disk is.
What goes to one relay leaves in one call, which the kernel cuts into packets; what goes to clients
leaves one by one, since many listen below UDP, and would hear several packets as one on a veth.
"""

import socket
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import structlog

from pxe_stack import packets, sockets
from pxe_stack.dhcp_notes import Notes
from pxe_stack.directory import Known
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Lease, Leases
from pxe_stack.packets import Kind, Reply, Request

log = structlog.get_logger()

_ACK: Final = Kind.ACK


class Decided(NamedTuple):
    """What a known machine, or the first of its kind, was answered; *begun* is of perf_counter."""

    request: Request
    known: Known | None
    reply: Reply
    begun: float


class Letter(NamedTuple):
    """*data* for *to*, a relay or a client.

    *newcomer* is the client's (address, MAC) if nobody knows it: it is introduced first.
    *decided* is what a row is written of; None: that it was said is counted.
    """

    kind: Kind
    data: bytes
    to: tuple[str, int]
    relayed: bool = False
    newcomer: tuple[str, str] | None = None
    decided: Decided | None = None


class Outbox:
    """Letters from *address* to clients on *interface*, and leases for *lasting*."""

    def __init__(
        self, lasting: LeaseStore, leases: Leases, notes: Notes, *, address: str, interface: str
    ) -> None:
        self._lasting = lasting
        self._leases = leases
        self._notes = notes
        self._address = address
        self._interface = interface
        self._offers: list[Letter] = []
        self._acks: list[Letter] = []
        self._unwritten: list[Lease] = []

    def put(self, letter: Letter) -> None:
        (self._acks if letter.kind is _ACK else self._offers).append(letter)

    def keep(self, leases: Iterable[Lease]) -> None:
        """Have *leases* written before the next ACK leaves."""
        self._unwritten += leases

    def send_offers(self, sock: socket.socket) -> None:
        """Send what promises nothing that lasts."""
        offers, self._offers = self._offers, []
        self._post(sock, offers)

    def send(self, sock: socket.socket) -> None:
        """Send what waits, ACKs once all leases are written; none of them when they cannot be."""
        self.send_offers(sock)
        acks, self._acks = self._acks, []
        leases, self._unwritten = self._unwritten, []
        # A repeated REQUEST has no lease of its own, and yet tells of one that was not written.
        if not leases or self._write(leases):
            self._post(sock, acks)

    def _write(self, leases: list[Lease]) -> bool:
        """Write *leases*; when that fails, know only what lies on the disk, and say nothing."""
        try:
            self._lasting.write(leases)
        except sqlite3.Error:
            log.exception("dhcp.not-lasting", leases=len(leases))
            self._leases.load(self._lasting.read())
            return False
        return True

    def _post(self, sock: socket.socket, letters: list[Letter]) -> None:
        """Send *letters*; of those for relays, those of one length and relay together."""
        alike: defaultdict[tuple[tuple[str, int], int], list[Letter]] = defaultdict(list)
        for letter in letters:
            if letter.relayed:
                alike[letter.to, len(letter.data)].append(letter)
            else:
                self._post_alike(sock, [letter], self._way(sock, letter))
        for (relay, _), group in alike.items():
            self._post_alike(sock, group, relay)

    def _post_alike(self, sock: socket.socket, group: list[Letter], to: tuple[str, int]) -> None:
        try:
            sockets.send_alike(sock, [each.data for each in group], to, self._address)
        except OSError as exc:
            self._notes.unsent(to[0], exc, len(group))
            return
        for letter in group:
            if letter.decided is None:
                self._notes.said(letter.kind)
            else:
                self._notes.answered(*letter.decided)

    def _way(self, sock: socket.socket, letter: Letter) -> tuple[str, int]:
        """Make a client reachable before it has its address, or else broadcast to it."""
        if letter.newcomer is None:
            return letter.to
        try:
            sockets.introduce(sock, *letter.newcomer, self._interface)
        except OSError:
            return packets.BROADCAST, letter.to[1]
        return letter.to
