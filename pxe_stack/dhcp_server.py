"""The DHCP loop of one interface: packets in, what must last onto the disk, then packets out."""

import selectors
import socket
import sqlite3
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from models.bootnet import BootNetwork
from pxe_stack import dhcp, packets, sockets
from pxe_stack.dhcp import Answer, Server, Snapshot, View
from pxe_stack.dhcp_coder import Coder
from pxe_stack.dhcp_conflicts import Conflicts, Packet
from pxe_stack.dhcp_ears import Ear
from pxe_stack.dhcp_networks import number_of
from pxe_stack.dhcp_notes import FLUSH_S, Notes
from pxe_stack.dhcp_probe import WAIT_S, Prober, Probes
from pxe_stack.dhcp_told import Constants, Told
from pxe_stack.dhcp_tries import Tries
from pxe_stack.directory import Known
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Change, Lease, Leases
from pxe_stack.packets import Kind, Reply, Request
from pxe_stack.plan_store import PlanStore
from pxe_stack.site_directory import Stores

log = structlog.get_logger()

BATCH: Final = 256
"""Packets that are taken from a socket before the leases among them are written together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Where packets come from and go to, and the interface that all of it is on."""

    ears: tuple[Ear, ...]
    interface: str
    prober: Prober | None = None
    probe_s: float = WAIT_S


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
        self._conflicts = Conflicts(self._leases, wire.prober, Probes(wire.probe_s))
        self._pending: list[_Pending] = []
        self._unsaid: list[Lease] = []
        self._version = -1
        self._snapshot = Snapshot(server)
        self._selector = selectors.DefaultSelector()
        self._coder: Coder | None = None
        self._coded: Mapping[Told, Constants] = {}
        self._networks: tuple[BootNetwork, ...] = ()

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._refresh()
        self._stores.journal.mark_ready(self._lasting.share.service)
        prober = self._wire.prober
        probing = () if prober is None else (prober.arp, prober.icmp)
        for sock in (stop, *(ear.sock for ear in self._wire.ears), *probing):
            self._selector.register(sock, selectors.EVENT_READ)
        while True:
            wait = self._conflicts.wait_s(time.time(), FLUSH_S)
            ready = {key.fileobj for key, _ in self._selector.select(wait)}
            if stop in ready:
                return
            self._turn(ready)

    def _turn(self, ready: Container[object]) -> None:
        """Serve what is *ready*, and what has waited for its probe; now and then write counts."""
        if self._coder is not None and self._coder.output in ready:
            self._take_what_was_coded(self._coder)
        self._refresh()
        self._unsaid += self._conflicts.found(time.time())
        now = time.time()
        for packet in self._conflicts.due(now):
            self._guarded(packet, now)
            self._finish(packet.ear.voice)
        for ear in self._wire.ears:
            if ear.sock in ready:
                self._serve(ear)
        if self._unsaid:
            self._finish(self._wire.ears[0].voice)
        self._notes.flush_now_and_then()

    def close(self) -> None:
        if self._coder is not None:
            self._coder.abandon()
        self._selector.close()
        self._conflicts.close()
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
        self._version = version
        try:
            self._take_over(plans)
        except (LookupError, TypeError, ValueError, sqlite3.Error):  # the last good one stays
            log.exception("dhcp.unusable")

    def _take_over(self, plans: PlanStore) -> None:
        reservations = {mac: number_of(each) for mac, each in plans.reservations().items()}
        networks = plans.networks()
        self._snapshot = Snapshot.of(
            self._server, networks, plans.ranges(), reservations, self._coded
        )
        self._snapshot.configure(self._leases)
        if networks != self._networks:
            self._have_coded(networks)

    def _have_coded(self, networks: tuple[BootNetwork, ...]) -> None:
        """Have a child code what *networks* tell; until then our own codec's is told."""
        if self._coder is not None:
            self._selector.unregister(self._coder.output)
            self._coder.abandon()
            self._coder = None
        self._networks = networks
        try:
            self._coder = Coder(networks)
        except OSError as exc:
            log.warning("dhcp.coded-alone", reason=str(exc))
            return
        self._selector.register(self._coder.output, selectors.EVENT_READ)

    def _take_what_was_coded(self, coder: Coder) -> None:
        self._selector.unregister(coder.output)
        self._coded = coder.finish()
        self._coder = None
        self._version = -1

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
            self._guarded(Packet(raw, origin, ear), now)
        self._finish(ear.voice)

    def _guarded(self, packet: Packet, now: float) -> None:
        try:
            self._take(packet, now)
        except Exception:  # one packet, whatever it held, does not stop the others
            log.exception("dhcp.failed", packet=packet.raw[:300].hex())

    def _take(self, packet: Packet, now: float) -> None:
        begun = time.perf_counter()
        source, port = packet.origin
        try:
            request = packets.parse(packet.raw, port, source, packet.ear.service)
        except packets.Malformed as exc:
            self._notes.malformed(str(exc))
            return
        known = None
        if request.mac in self._snapshot.reservations:
            known = self._stores.directory.by_mac(request.mac)
        view = View(self._leases, now, self._tries.of(request, now))
        decided = dhcp.answer(request, known, self._snapshot, view)
        if self._conflicts.put_aside(decided.change, packet, now):
            return
        lease = self._apply(decided.change, request, now)
        if isinstance(decided, Answer):
            self._pending.append(_Pending(request, known, decided.reply, lease, begun))
        else:
            self._notes.ignored(request, known, decided)
            self._unsaid += [] if lease is None else [lease]
        if dhcp.discovered(request, known):
            reply = decided.reply if isinstance(decided, Answer) else None
            self._notes.discovered(request, reply)

    def _apply(self, change: Change | None, request: Request, now: float) -> Lease | None:
        if change is None:
            return None
        self._conflicts.offered(change, request.giaddr, now)
        return self._leases.apply(change, now)

    def _finish(self, sock: socket.socket) -> None:
        pending, self._pending = self._pending, []
        lasting = [each.lease for each in pending if each.lease is not None] + self._unsaid
        self._unsaid = []
        if lasting and not self._write(lasting):
            # A repeated REQUEST has no lease of its own, and yet tells of one that was not written.
            pending = [each for each in pending if each.reply.kind is not Kind.ACK]
        for each in pending:
            try:
                self._send(sock, each.reply)
            except OSError as exc:
                self._notes.unsent(each.reply, exc)
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
