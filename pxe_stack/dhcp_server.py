"""The DHCP loop of one interface: packets in, what must last onto the disk, then packets out."""

import selectors
import socket
import sqlite3
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from models.bootnet import BootNetwork
from pxe_stack import dhcp, packets
from pxe_stack.dhcp import Answer, Server, Snapshot, View
from pxe_stack.dhcp_coder import Coder
from pxe_stack.dhcp_conflicts import Conflicts, Packet
from pxe_stack.dhcp_ears import Ear
from pxe_stack.dhcp_forms import Filled, Forms
from pxe_stack.dhcp_networks import dotted, number_of
from pxe_stack.dhcp_notes import FLUSH_S, Notes
from pxe_stack.dhcp_outbox import Decided, Letter, Outbox
from pxe_stack.dhcp_probe import WAIT_S, Prober, Probes
from pxe_stack.dhcp_scribe import Scribe
from pxe_stack.dhcp_told import Constants, Told
from pxe_stack.dhcp_tries import Tries
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Change, Leases
from pxe_stack.packets import ANY, SERVER_PORT
from pxe_stack.plan_store import PlanStore
from pxe_stack.site_directory import Stores

log = structlog.get_logger()

BATCH: Final = 256
"""Packets that are taken from a socket before the offers among them leave."""
BATCHES: Final = 4
"""So many of them, while more come, before the leases among them are written together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Where packets come from and go to, and the interface that all of it is on."""

    ears: tuple[Ear, ...]
    interface: str
    prober: Prober | None = None
    probe_s: float = WAIT_S


class DhcpServer:
    """Answers on *wire* as *server*, from the plans and networks in *stores*."""

    def __init__(self, wire: Wire, stores: Stores, server: Server, lasting: LeaseStore) -> None:
        self._wire = wire
        self._stores = stores
        self._server = server
        self._lasting = lasting
        self._leases = Leases(lasting.share)
        self._leases.load(lasting.read())
        self._scribe = Scribe(stores.another_journal)
        self._notes = Notes(self._scribe)
        self._tries = Tries()
        self._conflicts = Conflicts(self._leases, wire.prober, Probes(wire.probe_s))
        self._outbox = Outbox(
            lasting, self._leases, self._notes, address=server.address, interface=wire.interface
        )
        self._version = -1
        self._snapshot = Snapshot(server)
        self._forms = Forms(self._snapshot)
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
        now = time.time()
        self._outbox.keep(self._conflicts.found(now))
        for packet in self._conflicts.due(now):
            self._guarded(packet, now)
            self._finish(packet.ear)
        for ear in self._wire.ears:
            if ear.sock in ready:
                self._serve(ear)
        self._finish(self._wire.ears[0])
        self._notes.flush_now_and_then()

    def close(self) -> None:
        if self._coder is not None:
            self._coder.abandon()
        self._selector.close()
        self._conflicts.close()
        for ear in self._wire.ears:
            ear.close()
        self._notes.flush()
        self._scribe.close()
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
        self._forms = Forms(self._snapshot)
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
        """Answer what has come, and write what must last once for all of it.

        What comes meanwhile is taken too, for a few batches: the more, the fewer writes.
        """
        for _ in range(BATCHES):
            if not self._hear(ear):
                break
            self._outbox.send_offers(ear.voice)
        self._finish(ear)

    def _hear(self, ear: Ear) -> bool:
        """Decide on a batch of packets; whether there were any."""
        now, heard = time.time(), False
        for _ in range(BATCH):
            try:
                raw, origin = ear.hear()
            except BlockingIOError:
                break
            except OSError:  # an error that the kernel kept for a packet of before
                continue
            heard = True
            self._guarded(Packet(raw, origin, ear), now)
        return heard

    def _guarded(self, packet: Packet, now: float) -> None:
        try:
            if packet.ear.service == SERVER_PORT:
                filled = self._forms.fill(packet.raw, self._leases, now)
                if filled is not None:
                    self._take_filled(filled, packet, now)
                    return
            self._take(packet, now)
        except Exception:  # one packet, whatever it held, does not stop the others
            log.exception("dhcp.failed", packet=packet.raw[:300].hex())

    def _take_filled(self, filled: Filled, packet: Packet, now: float) -> None:
        """Give the answer of a stranger's form, as :meth:`_take` would have decided on it."""
        form, change = filled.form, filled.change
        if change is not None:
            if self._conflicts.put_aside(change, packet, now):
                return
            self._apply(change, form.relay, now)
        mac = filled.mac.hex(":")
        newcomer = (filled.to[0], mac) if form.to is None else None
        relayed = form.relay != ANY
        self._outbox.put(Letter(form.says, filled.data, filled.to, relayed, newcomer))
        if form.boots and self._notes.is_new(mac):
            source, port = packet.origin
            request = packets.parse(packet.raw, port, source)
            self._notes.discovered(request, dotted(filled.address))

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
        if decided.change is not None:
            self._apply(decided.change, request.giaddr, now)
        if isinstance(decided, Answer):
            self._put(Decided(request, known, decided.reply, begun), packet.raw, now)
        else:
            self._notes.ignored(request, known, decided)
        if dhcp.discovered(request, known) and self._notes.is_new(request.mac):
            address = decided.reply.yiaddr if isinstance(decided, Answer) else ANY
            self._notes.discovered(request, address)

    def _apply(self, change: Change, relay: str, now: float) -> None:
        self._conflicts.offered(change, relay, now)
        lease = self._leases.apply(change, now)
        if lease is not None:
            self._outbox.keep((lease,))

    def _put(self, decided: Decided, raw: bytes, now: float) -> None:
        """Have the reply sent, and the like of it filled in from now on."""
        request, known, reply, _ = decided
        data = packets.build(reply)
        relayed = reply.giaddr != ANY
        unheard = not relayed and reply.ciaddr == ANY and reply.to[0] == reply.yiaddr
        newcomer = (reply.yiaddr, reply.mac) if unheard else None
        self._outbox.put(Letter(reply.kind, data, reply.to, relayed, newcomer, decided))
        if known is None:
            net = self._snapshot.locate(request)
            self._forms.learn(raw, request, net, reply=reply, data=data, now=now)

    def _finish(self, ear: Ear) -> None:
        self._outbox.send(ear.voice)
        self._notes.write()
