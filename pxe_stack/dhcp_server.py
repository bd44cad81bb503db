"""The DHCP loop of one interface: packets in, what must last onto the disk, then packets out."""

import selectors
import socket
import sqlite3
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from pxe_stack import dhcp, packets, sockets
from pxe_stack.dhcp import Answer, Server, Snapshot, View
from pxe_stack.dhcp_ears import Ear
from pxe_stack.dhcp_networks import number_of
from pxe_stack.dhcp_notes import Notes
from pxe_stack.dhcp_tries import Tries
from pxe_stack.directory import Known
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Lease, Leases
from pxe_stack.packets import Reply, Request
from pxe_stack.site_directory import Stores

log = structlog.get_logger()

FLUSH_S: Final = 10.0
BATCH: Final = 256
"""Packets that are taken from a socket before the leases among them are written together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Where packets come from and go to, and the interface that all of it is on."""

    ears: tuple[Ear, ...]
    interface: str


class _Pending(NamedTuple):
    request: Request
    known: Known | None
    reply: Reply
    lease: Lease | None
    begun: float


class DhcpServer:
    """Answers on *wire* as *server*, from the plans and networks in *stores*."""

    def __init__(self, wire: Wire, stores: Stores, server: Server, lasting: LeaseStore) -> None:
        self._wire = wire
        self._stores = stores
        self._server = server
        self._lasting = lasting
        self._leases = Leases(lasting.share)
        self._leases.load(lasting.read())
        self._notes = Notes(stores.journal)
        self._tries = Tries()
        self._pending: list[_Pending] = []
        self._version = -1
        self._snapshot = Snapshot(server)

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._refresh()
        self._stores.journal.mark_ready(self._lasting.share.service)
        with selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            for ear in self._wire.ears:
                selector.register(ear.sock, selectors.EVENT_READ)
            flushed = time.monotonic()
            while True:
                ready = {key.fileobj for key, _ in selector.select(FLUSH_S)}
                if stop in ready:
                    return
                self._refresh()
                for ear in self._wire.ears:
                    if ear.sock in ready:
                        self._serve(ear)
                if time.monotonic() - flushed > FLUSH_S:
                    self._notes.flush()
                    flushed = time.monotonic()

    def close(self) -> None:
        for ear in self._wire.ears:
            ear.close()
        self._notes.flush()
        self._lasting.close()
        self._stores.close()

    def _refresh(self) -> None:
        """Make a new snapshot when plans, networks or ranges have changed."""
        plans = self._stores.plans
        version = plans.version()
        if version == self._version:
            return
        reservations = {mac: number_of(each) for mac, each in plans.reservations().items()}
        self._snapshot = Snapshot.of(self._server, plans.networks(), plans.ranges(), reservations)
        self._snapshot.configure(self._leases)
        self._version = version

    def _serve(self, ear: Ear) -> None:
        """Answer what has come, and write what must last once for all of it."""
        now = time.time()
        for _ in range(BATCH):
            try:
                raw, origin = ear.hear()
            except BlockingIOError:
                break
            except OSError:  # an error that the kernel kept for a packet of before
                continue
            try:
                self._take(raw, origin, ear.service, now)
            except Exception:  # one packet, whatever it held, does not stop the others
                log.exception("dhcp.failed", packet=raw[:300].hex())
        self._finish(ear.voice)

    def _take(self, raw: bytes, origin: tuple[str, int], service: int, now: float) -> None:
        begun = time.perf_counter()
        try:
            request = packets.parse(raw, origin[1], origin[0], service)
        except packets.Malformed as exc:
            self._notes.malformed(str(exc))
            return
        known = None
        if request.mac in self._snapshot.reservations:
            known = self._stores.directory.by_mac(request.mac)
        view = View(self._leases, now, self._tries.of(request, now))
        decided = dhcp.answer(request, known, self._snapshot, view)
        lease = None if decided.change is None else self._leases.apply(decided.change, now)
        if isinstance(decided, Answer):
            self._pending.append(_Pending(request, known, decided.reply, lease, begun))
        else:
            self._notes.ignored(request, known, decided)
            if lease is not None:
                self._lasting.write([lease])
        if dhcp.discovered(request, known):
            reply = decided.reply if isinstance(decided, Answer) else None
            self._notes.discovered(request, reply)

    def _finish(self, sock: socket.socket) -> None:
        pending, self._pending = self._pending, []
        lasting = [each.lease for each in pending if each.lease is not None]
        if lasting and not self._write(lasting):
            pending = [each for each in pending if each.lease is None]
        for each in pending:
            try:
                self._send(sock, each.reply)
            except OSError as exc:
                log.warning("dhcp.unsent", to=each.reply.to[0], reason=str(exc))
                continue
            self._notes.answered(each.request, each.known, each.reply, each.begun)
        self._notes.write()

    def _write(self, leases: list[Lease]) -> bool:
        """Write *leases*; when that fails, know only what lies on the disk, and say nothing."""
        try:
            self._lasting.write(leases)
        except sqlite3.Error:
            log.exception("dhcp.not-lasting", leases=len(leases))
            self._leases.load(self._lasting.read())
            return False
        return True

    def _send(self, sock: socket.socket, reply: Reply) -> None:
        to = reply.to
        if reply.giaddr == reply.ciaddr == packets.ANY and to[0] == reply.yiaddr:
            to = self._introduced(sock, reply)
        sockets.send_from(sock, packets.build(reply), to, self._server.address)

    def _introduced(self, sock: socket.socket, reply: Reply) -> tuple[str, int]:
        """Make the client reachable before it has its address, or else broadcast to it."""
        try:
            sockets.introduce(sock, reply.yiaddr, reply.mac, self._wire.interface)
        except OSError:
            return packets.BROADCAST, reply.to[1]
        return reply.to
