"""DNS: one pure function of the message, whose every reply a resolver must be able to read."""

import dnslib

from pxe_stack import dns, dns_wire
from pxe_stack.dns import Answer
from tests.pxe_stack.dns_make import DOMAIN, query, zone

LONGEST = 600
TOKENS = (
    *(b"\7node-01", b"\4rack\4test\0", b"\7in-addr\4arpa\0", b"\xc0\x0c", b"\0\0\x29", b"\0\xff"),
    *(b"\0\xfc\0\1", b"\0\x0c\0\1", b"\0\6\0\1"),
)


class Case:
    def __init__(self):
        self.zone = zone()

    def one(self, data):
        """Take *data*: a byte of circumstances, then the message."""
        if not data:
            return
        stream, recursion, raw = bool(data[0] & 1), bool(data[0] & 2), data[1:]
        decided = dns.answer(raw, self.zone, stream=stream, recursion=recursion)
        if isinstance(decided, Answer):
            self.replied(raw, decided.wire, stream=stream)
        elif isinstance(decided, dns.Elsewhere):
            self.replied(raw, decided.refused.wire, stream=stream)
            self.replied(raw, dns.failure(decided.query).wire, stream=stream)
        cut = dns_wire.cut(raw)
        assert cut is None or len(cut) <= max(len(raw), 12)

    def replied(self, raw, wire, *, stream):
        assert wire[:2] == raw[:2]
        assert wire[2] & 0x80
        # Whoever is named as sender is never sent more than a few times what was asked.
        assert stream or len(wire) <= max(dns_wire.OWN_SIZE, len(raw))
        if raw[4:6] == b"\0\1" and wire[3] & 15 in {0, 3}:
            _readable(wire)


def _readable(wire):
    try:
        assert dnslib.DNSRecord.parse(wire).header.qr
    except dnslib.DNSError as exc:
        if "Invalid label" not in str(exc):  # dnslib reads no names but UTF-8; DNS has any bytes
            raise


def seeds():
    """Questions about everything there is, and messages that are none."""
    names = (f"node-01.{DOMAIN}", f"nobody.{DOMAIN}", DOMAIN, f"a.b.{DOMAIN}", "example.org", ".")
    backwards = ("21.0.77.10.in-addr.arpa", "77.10.in-addr.arpa", "1.0.0.10.in-addr.arpa")
    kinds = ("A", "AAAA", "NS", "SOA", "PTR", "ANY", "AXFR", "IXFR", "TXT")
    asked = [query(name, kind) for name in (*names, *backwards) for kind in kinds]
    asked += [query(edns=size, version=version) for size in (0, 512, 4096) for version in (0, 1)]
    asked += [query(klass="CH"), query(edns=1232) + b"\0" * 9, query()[:-3], b"\0" * 12, b"\1"]
    asked += [query()[:12] + b"\xc0\x0c\0\1\0\1", query()[:12] + b"\x3f" * 90]
    asked += [query()[:2] + b"\x80" + query()[3:], query()[:2] + b"\x28" + query()[3:]]
    return [bytes((how,)) + raw for raw in asked for how in range(4)]
