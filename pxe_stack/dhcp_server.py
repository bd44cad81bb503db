"""The DHCP loop of one interface: a packet in, and a packet or nothing out."""

import selectors
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog

from models.observations import Observation, Seen, Source
from pxe_stack import dhcp, packets, sockets
from pxe_stack.directory import Known
from pxe_stack.packets import Kind, Reply, Request
from pxe_stack.site_directory import Stores

log = structlog.get_logger()

FLUSH_S: Final = 10.0
BATCH: Final = 64
"""Packets taken from the socket between two looks at the clock."""

_ANSWERED: Final = {
    Kind.OFFER: Seen.DHCP_OFFERED,
    Kind.ACK: Seen.DHCP_ACKED,
    Kind.NAK: Seen.DHCP_REFUSED,
}


class DhcpServer:
    """Answers on *sock*, bound to *interface*, as *server*, from the plans in *stores*."""

    def __init__(
        self, sock: socket.socket, stores: Stores, server: dhcp.Server, *, interface: str
    ) -> None:
        self._sock = sock
        self._stores = stores
        self._server = server
        self._interface = interface

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._stores.journal.mark_ready("dhcp")
        with selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            selector.register(self._sock, selectors.EVENT_READ)
            flushed = time.monotonic()
            while True:
                ready = {key.fileobj for key, _ in selector.select(FLUSH_S)}
                if stop in ready:
                    return
                if self._sock in ready:
                    self._drain()
                if time.monotonic() - flushed > FLUSH_S:
                    self._stores.journal.flush()
                    flushed = time.monotonic()

    def close(self) -> None:
        self._sock.close()
        self._stores.close()

    def _drain(self) -> None:
        for _ in range(BATCH):
            try:
                raw, (_, port) = self._sock.recvfrom(2048)
            except BlockingIOError:
                return
            try:
                self._take(raw, port)
            except Exception:  # one packet, whatever it held, does not stop the others
                log.exception("dhcp.failed", packet=raw[:300].hex())

    def _take(self, raw: bytes, port: int) -> None:
        begun, at = time.perf_counter(), time.time()
        try:
            request = packets.parse(raw, port)
        except packets.Malformed as exc:
            why = {"why": dhcp.Why.MALFORMED.value, "detail": str(exc)}
            self._note(Seen.DHCP_IGNORED, at, None, why)
            return
        known = self._stores.directory.by_mac(request.mac)
        decided = dhcp.answer(request, known, self._server)
        data = {"xid": f"{request.xid:08x}", "asked": request.kind.name.lower()}
        if not isinstance(decided, Reply):
            data |= {"why": decided.why.value, "detail": decided.detail}
            self._note(Seen.DHCP_IGNORED, at, known, data, mac=request.mac)
            return
        self._send(decided)
        ms = round((time.perf_counter() - begun) * 1000, 3)
        told = {**data, **_told(request, decided), "ms": ms}
        self._note(_ANSWERED[decided.kind], at, known, told, mac=request.mac)

    def _send(self, reply: Reply) -> None:
        to = reply.to
        if reply.giaddr == reply.ciaddr == packets.ANY and to[0] == reply.yiaddr:
            to = self._introduced(reply)
        sockets.send_from(self._sock, packets.build(reply), to, self._server.address)

    def _introduced(self, reply: Reply) -> tuple[str, int]:
        """Make the client reachable before it has its address, or else broadcast to it."""
        try:
            sockets.introduce(self._sock, reply.yiaddr, reply.mac, self._interface)
        except OSError:
            return packets.BROADCAST, reply.to[1]
        return reply.to

    def _note(
        self,
        kind: Seen,
        at: float,
        known: Known | None,
        data: Mapping[str, Any],
        mac: str | None = None,
    ) -> None:
        plan = None if known is None else known.plan
        self._stores.journal.append(
            Observation(
                kind=kind,
                source=Source.DHCP,
                at=at,
                mac=mac,
                machine=None if plan is None else plan.machine,
                run=None if plan is None else plan.run,
                data=data,
            )
        )


def _told(request: Request, reply: Reply) -> dict[str, Any]:
    arch = request.options.get(packets.Option.ARCHITECTURE, b"")[:2]
    return {
        "address": reply.yiaddr,
        "to": reply.to[0],
        "file": masked(reply.boot_file),
        "arch": int.from_bytes(arch, "big") if arch else None,
        "vendor_class": request.text(packets.Option.VENDOR_CLASS)[:64],
        "user_class": request.text(packets.Option.USER_CLASS)[:64],
    }


def masked(url: str) -> str:
    """Return *url* without the token in it."""
    head, mark, tail = url.partition("/boot/")
    run, _, rest = tail.partition("/")
    return f"{head}{mark}{run}/***/{rest.partition('/')[2]}" if mark else url
