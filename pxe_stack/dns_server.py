"""The DNS loop of one address: a message in, and a message or nothing out."""

import selectors
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from pxe_stack import dns, dns_wire
from pxe_stack.dns import Answer, Elsewhere, Silence, Told
from pxe_stack.dns_forward import DNS_PORT, Forwarder
from pxe_stack.dns_hosts import Keeper
from pxe_stack.dns_limits import Limiter, Verdict
from pxe_stack.dns_streams import Stream, Streams

log = structlog.get_logger()

LONGEST_QUERY: Final = 4096
BATCH: Final = 64
"""Messages taken from the socket between two looks at the clock."""
TICK_S: Final = 0.25
LOOK_S: Final = 0.05
"""Seconds between two looks at whether names have changed."""
FLUSH_S: Final = 10.0
MOST_REMEMBERED: Final = 4096
LONGEST_REMEMBERED: Final = 300

Peer = tuple[str, int]
Keep = Callable[[Counter[str]], None]


class DnsServer:
    """Answers on *udp* and *listener* from the zone of *keeper*.

    *keep* is given the counts since it was last, every FLUSH_S seconds.  *forward* are servers that
    machines of the site's networks have their other questions put to; everybody else is refused.
    """

    def __init__(
        self,
        udp: socket.socket,
        listener: socket.socket,
        keeper: Keeper,
        keep: Keep,
        *,
        forward: Sequence[str] = (),
        forward_port: int = DNS_PORT,
        limiter: Limiter | None = None,
    ) -> None:
        self._udp = udp
        self._keeper = keeper
        self._keep = keep
        self._counts: Counter[str] = Counter()
        self._looked = time.monotonic()
        self._zone = keeper.zone(self._looked)
        self._remembered: dict[tuple[bytes, bool, bool], Answer] = {}
        self._limiter = limiter or Limiter(self._is_near)
        self._selector = selectors.DefaultSelector()
        self._streams = Streams(listener, self._selector, self._take_stream, self._count)
        self._forwarder = Forwarder(forward, self._selector, self._count, forward_port)

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* is readable."""
        self._selector.register(stop, selectors.EVENT_READ, None)
        self._selector.register(self._udp, selectors.EVENT_READ, self._drain)
        flushed = time.monotonic()
        while True:
            for key, events in self._selector.select(TICK_S):
                if key.data is None:
                    return
                self._guarded(key.data, events)
            now = time.monotonic()
            self._guarded(self._streams.look_at_clock, now)
            self._guarded(self._forwarder.look_at_clock, now)
            if now - flushed > FLUSH_S:
                self._guarded(self._flush, now)
                flushed = now

    def close(self) -> None:
        """Close every socket, and hand over the last counts."""
        self._forwarder.close()
        self._streams.close()
        self._selector.close()
        self._udp.close()
        self._flush(0)

    def _guarded(self, act: Callable[..., None], *given: float) -> None:
        try:
            act(*given)
        except Exception:  # one client, whatever it did, does not stop the others
            log.exception("dns.failed")

    def _count(self, told: Told) -> None:
        self._counts[f"dns {told.value}"] += 1

    def _flush(self, _now: float) -> None:
        counts, self._counts = self._counts, Counter()
        if counts:
            self._keep(counts)

    def _drain(self, _events: int) -> None:
        now = time.monotonic()
        self._look_at_zone(now)
        for _ in range(BATCH):
            try:
                raw, peer = self._udp.recvfrom(LONGEST_QUERY)
            except (BlockingIOError, ConnectionError):
                return
            try:
                self._take(raw, peer, now)
            except Exception:  # one message, whatever it held, does not stop the others
                log.exception("dns.failed", message=raw[:300].hex())

    def _is_near(self, client: str) -> bool:
        return self._zone.holds(client)

    def _look_at_zone(self, now: float) -> None:
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            zone = self._keeper.zone(now)
        except sqlite3.Error as exc:  # what was known is served on
            log.warning("dns.zone-unread", why=str(exc))
            return
        if zone is not self._zone:
            self._zone = zone
            self._remembered.clear()
            log.debug("dns.zone", serial=zone.serial, hosts=len(zone.names))

    def _take(self, raw: bytes, peer: Peer, now: float) -> None:
        client = peer[0]
        recursion = bool(self._forwarder) and self._zone.holds(client)
        decided = self._decided(raw, recursion=recursion, stream=False)
        if isinstance(decided, Silence):
            self._count(decided.told)
            return
        verdict = self._limiter.take(client, now)
        if verdict is Verdict.SEND:
            self._say(raw, decided, client, recursion, lambda reply: self._send(reply, peer))
            return
        cut = dns_wire.cut(raw) if verdict is Verdict.SLIP else None
        self._count(Told.LIMITED if cut is None else Told.SLIPPED)
        if cut is not None:
            self._send(cut, peer)

    def _take_stream(self, raw: bytes, stream: Stream) -> None:
        self._look_at_zone(time.monotonic())
        recursion = bool(self._forwarder) and self._zone.holds(stream.client)
        decided = self._decided(raw, recursion=recursion, stream=True)
        if isinstance(decided, Silence):
            self._count(decided.told)
            return

        def deliver(reply: bytes) -> None:
            self._streams.send(stream, reply)

        self._say(raw, decided, stream.client, recursion, deliver, stream=True)

    def _decided(
        self, raw: bytes, *, recursion: bool, stream: bool
    ) -> Answer | Silence | Elsewhere:
        """Return what dns.answer says, from memory where the same was asked of the same zone."""
        key = (raw[2:], recursion, stream)
        known = self._remembered.get(key)
        if known is not None:
            return Answer(raw[:2] + known.wire[2:], known.told)
        decided = dns.answer(raw, self._zone, stream=stream, recursion=recursion)
        if isinstance(decided, Answer) and len(raw) <= LONGEST_REMEMBERED:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = decided
        return decided

    def _say(
        self,
        raw: bytes,
        decided: Answer | Elsewhere,
        client: str,
        recursion: bool,  # noqa: FBT001 - called from two places, next to its making
        deliver: Callable[[bytes], None],
        *,
        stream: bool = False,
    ) -> None:
        if isinstance(decided, Answer):
            self._count(decided.told)
            deliver(decided.wire)
            return
        query = decided.query
        if not (recursion and query.recursion_desired):
            self._count(decided.refused.told)
            deliver(decided.refused.wire)
        elif not self._forwarder.ask(raw, query, client=client, stream=stream, deliver=deliver):
            self._count(Told.CROWDED_OUT)
            deliver(dns.failure(query).wire)

    def _send(self, reply: bytes, peer: Peer) -> None:
        try:
            self._udp.sendto(reply, peer)
        except OSError as exc:  # port 0, a route that is gone, a full buffer
            self._count(Told.UNSENT)
            log.debug("dns.unsent", client=peer[0], why=str(exc))
