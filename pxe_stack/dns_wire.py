"""DNS messages on the wire: dnslib's one place.

A question's name is read here, since dnslib takes labels of 191 bytes and no bytes but UTF-8; the
rest of a query, and every reply, is dnslib's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

import dnslib
from dnslib.label import DNSBuffer

Name = tuple[bytes, ...]
"""Labels of a name, the host's first; () is the root."""

HEADER: Final = 12
LONGEST_LABEL: Final = 63
LONGEST_NAME: Final = 255
"""Bytes of a name on the wire, its length bytes and its end among them (RFC 1035 §2.3.4)."""
OWN_SIZE: Final = 1232
"""Bytes of UDP that are never cut into fragments (DNS Flag Day 2020)."""
LEAST_SIZE: Final = 512
MOST_ADDITIONAL: Final = 4

_HEAD: Final = Struct("!6H")
_TAIL: Final = Struct("!HH")
_QR: Final = 0x8000
_TC: Final = 0x0200


class Type(IntEnum):
    """Types of records and questions that mean something here (IANA, "Resource Record TYPEs")."""

    A = 1
    NS = 2
    SOA = 6
    PTR = 12
    HINFO = 13
    OPT = 41
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255


INTERNET: Final = 1
"""The class IN."""


class Code(IntEnum):
    """Response codes (RFC 1035 §4.1.1, RFC 6891 §9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class NoQuery(Exception):
    """Nothing that may be answered: an answer itself, or less than a header."""


class Malformed(Exception):
    """A query that is answered with *code* and nothing else."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Edns:
    """What a client says of itself (RFC 6891): bytes of UDP that it takes, its version, DO."""

    size: int
    version: int = 0
    dnssec: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question; *name* is spelt as it was asked, *end* is where the question ends."""

    id: int
    flags: int
    name: Name
    type: int
    klass: int
    end: int
    edns: Edns | None = None

    @property
    def recursion_desired(self) -> bool:
        return bool(self.flags & 0x0100)

    @property
    def room(self) -> int:
        """Bytes that a reply by UDP may have."""
        return LEAST_SIZE if self.edns is None else max(LEAST_SIZE, min(self.edns.size, OWN_SIZE))


@dataclass(frozen=True, slots=True)
class Soa:
    """The start of authority; times are in seconds (RFC 1035 §3.3.13)."""

    server: Name
    mailbox: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    negative: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record: *data* is an address (packed), a name, two texts, or a start of authority."""

    name: Name
    type: Type
    ttl: int
    data: bytes | Name | Soa


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is said to a query."""

    code: Code = Code.NOERROR
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    authoritative: bool = True
    recursion: bool = False


def read(raw: bytes) -> Query:
    """Return the query that *raw* is.  Raises NoQuery or Malformed, and nothing else."""
    if len(raw) < HEADER:
        raise NoQuery("less than a header")
    number, flags, questions, *others = _HEAD.unpack_from(raw)
    if flags & _QR:
        raise NoQuery("an answer")
    if flags >> 11 & 0xF:
        raise Malformed(Code.NOTIMP, "not a standard query")
    if questions != 1:
        raise Malformed(Code.FORMERR, "not one question")
    name, at = _name(raw)
    if len(raw) < at + _TAIL.size:
        raise Malformed(Code.FORMERR, "the question is cut off")
    kind, klass = _TAIL.unpack_from(raw, at)
    query = Query(id=number, flags=flags, name=name, type=kind, klass=klass, end=at + _TAIL.size)
    if kind in {Type.AXFR, Type.IXFR}:  # refused whatever else it holds: IXFR brings a record along
        return query
    return _with_edns(query, raw, *others)


def _name(raw: bytes) -> tuple[Name, int]:
    """Return the name after the header, and where it ends; it is the first: nothing to point to."""
    labels: list[bytes] = []
    at = HEADER
    while at < len(raw):
        length = raw[at]
        end = at + 1 + length
        if length == 0:
            return tuple(labels), end
        if length > LONGEST_LABEL or end >= len(raw) or end - HEADER >= LONGEST_NAME:
            break
        labels.append(raw[at + 1 : end])
        at = end
    raise Malformed(Code.FORMERR, "not a name")


def _with_edns(query: Query, raw: bytes, answers: int, authority: int, additional: int) -> Query:
    if answers or authority or additional > MOST_ADDITIONAL:
        raise Malformed(Code.FORMERR, "records in a query")
    buffer = DNSBuffer(raw)
    buffer.offset = query.end
    try:
        records = [dnslib.RR.parse(buffer) for _ in range(additional)]
    except Exception as exc:  # dnslib raises all kinds, by what a stranger wrote
        raise Malformed(Code.FORMERR, f"not a record: {exc}"[:200]) from exc
    if buffer.remaining():
        raise Malformed(Code.FORMERR, "more than a message")
    options = [each for each in records if each.rtype == Type.OPT]
    if len(options) > 1 or any(each.rname.label for each in options):
        raise Malformed(Code.FORMERR, "not one OPT")
    if not options:
        return query
    (told,) = options
    edns = Edns(told.edns_len, told.edns_ver, bool(told.edns_do))
    return Query(
        id=query.id,
        flags=query.flags,
        name=query.name,
        type=query.type,
        klass=query.klass,
        end=query.end,
        edns=edns,
    )


def write(query: Query, reply: Reply, *, stream: bool = False) -> bytes:
    """Return *reply* as bytes; by UDP, what does not fit is left out and marked (RFC 2181 §9)."""
    whole = _packed(query, reply)
    if stream or len(whole) <= query.room:
        return whole
    return _packed(query, Reply(authoritative=reply.authoritative, code=reply.code), short=True)


def refusal(raw: bytes, code: Code) -> bytes:
    """Return the bare header that says *code* to a message that could not be read."""
    number, flags, *_ = _HEAD.unpack_from(raw)
    head = dnslib.DNSHeader(id=number, bitmap=_QR | flags & 0x7900 | code)
    return bytes(dnslib.DNSRecord(head).pack())


def cut(raw: bytes) -> bytes | None:
    """Return the least that has the client of *raw* come again by TCP; None for what is no query.

    It is no longer than what came.
    """
    try:
        query = read(raw)
    except (NoQuery, Malformed):
        return None
    flags = _QR | _TC | query.flags & 0x0110
    return _HEAD.pack(query.id, flags, 1, 0, 0, 0) + raw[HEADER : query.end]


def _packed(query: Query, reply: Reply, *, short: bool = False) -> bytes:
    head = dnslib.DNSHeader(id=query.id, bitmap=_QR | query.flags & 0x0110 | reply.code & 0xF)
    head.aa, head.tc, head.ra = int(reply.authoritative), int(short), int(reply.recursion)
    record = dnslib.DNSRecord(head, q=dnslib.DNSQuestion(_label(query.name), query.type))
    record.q.qclass = query.klass
    record.add_answer(*_resource(reply.answers))
    record.add_auth(*_resource(reply.authority))
    record.add_ar(*_resource(reply.additional))
    if query.edns is not None:
        high = reply.code >> 4
        flags = "do" if query.edns.dnssec else ""
        record.add_ar(dnslib.EDNS0(_label(()), ext_rcode=high, udp_len=OWN_SIZE, flags=flags))
    return bytes(record.pack())


def _resource(records: Iterable[Record]) -> Iterable[dnslib.RR]:
    for each in records:
        yield dnslib.RR(_label(each.name), each.type, INTERNET, each.ttl, _data(each))


def _data(record: Record) -> dnslib.RD:
    match record.data:
        case bytes(address):
            return dnslib.A(tuple(address))
        case Soa() as soa:
            times = (soa.serial, soa.refresh, soa.retry, soa.expire, soa.negative)
            return dnslib.SOA(_label(soa.server), _label(soa.mailbox), times)
        case texts if record.type is Type.HINFO:
            return dnslib.RD(b"".join(bytes((len(text),)) + text for text in texts))
        case name if record.type is Type.PTR:
            return dnslib.PTR(_label(name))
        case name:
            return dnslib.NS(_label(name))


def _label(name: Name) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(name)
