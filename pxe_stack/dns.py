"""What DNS answers, as one pure function of the query and the zone.

Authoritative for the site's zone alone: what lies elsewhere is refused, or forwarded by who may.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pxe_stack import dns_wire
from pxe_stack.dns_wire import INTERNET, Code, Name, Query, Record, Reply, Soa, Type
from pxe_stack.dns_zone import ARPA, SERVER, Zone, octets_of

TTL_S: Final = 30
NEGATIVE_TTL_S: Final = 5
"""A name that is asked for before it is allocated must not be missing for long (RFC 2308)."""


class Told(StrEnum):
    """What became of a message: the label of a counter, so a closed set."""

    ANSWERED = "answered"
    NO_DATA = "no-data"
    NO_NAME = "no-name"
    REFUSED = "refused"
    TRANSFER = "transfer-refused"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"
    NO_QUERY = "no-query"
    CUT = "cut"
    """A reply that was too long for UDP: the client comes again by TCP."""
    FORWARDED = "forwarded"
    CROWDED_OUT = "crowded-out"
    """More queries under way to other servers than are allowed."""
    UNANSWERED = "unanswered"
    """No other server answered in time."""
    LIMITED = "limited"
    """Dropped: a client prefix had more replies by UDP than it may have."""
    SLIPPED = "slipped"
    """The same, but told to come by TCP, which nobody can do under a false address."""
    UNSENT = "unsent"
    """A reply, counted as what it said, that the network did not take."""
    TOO_MANY_STREAMS = "too-many-streams"
    STREAM_TIMED_OUT = "stream-timed-out"


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes to send, and why."""

    wire: bytes
    told: Told


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing to send, and why."""

    told: Told


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A question about no name of ours; *refused* is what it is told where it is not forwarded."""

    query: Query
    refused: Answer


_UNSUPPORTED: Final[Mapping[int, tuple[Code, Told]]] = MappingProxyType(
    {
        Type.OPT: (Code.FORMERR, Told.MALFORMED),
        Type.TKEY: (Code.REFUSED, Told.REFUSED),
        Type.TSIG: (Code.REFUSED, Told.REFUSED),
        Type.IXFR: (Code.REFUSED, Told.TRANSFER),
        Type.AXFR: (Code.REFUSED, Told.TRANSFER),
        Type.MAILB: (Code.REFUSED, Told.REFUSED),
        Type.MAILA: (Code.REFUSED, Told.REFUSED),
    }
)
"""Questions that are about no record."""


def answer(
    raw: bytes, zone: Zone, *, stream: bool = False, recursion: bool = False
) -> Answer | Silence | Elsewhere:
    """Decide on what is said to the message *raw*; never raises, whatever that is.

    *stream*: it came by TCP, so that a reply may have any length; *recursion*: this client's other
    questions are forwarded.
    """
    try:
        query = dns_wire.read(raw)
    except dns_wire.NoQuery:
        return Silence(Told.NO_QUERY)
    except dns_wire.Malformed as exc:
        told = Told.UNSUPPORTED if exc.code is Code.NOTIMP else Told.MALFORMED
        return Answer(dns_wire.refusal(raw, exc.code), told)
    decided = _decide(query, zone)
    if decided is None:
        return Elsewhere(query, _refused(query, Code.REFUSED, Told.REFUSED))
    if isinstance(decided, Answer):
        return decided
    return _written(query, decided, stream=stream, recursion=recursion)


def failure(query: Query) -> Answer:
    """Return what is said when other servers were asked in vain."""
    return _refused(query, Code.SERVFAIL, Told.UNANSWERED)


def _decide(query: Query, zone: Zone) -> Reply | Answer | None:
    """Return what is said to *query*; None: it is about no zone of ours."""
    if query.edns is not None and query.edns.version:
        return _refused(query, Code.BADVERS, Told.UNSUPPORTED)
    if query.type in _UNSUPPORTED:
        return _refused(query, *_UNSUPPORTED[query.type])
    if query.klass != INTERNET:
        return _refused(query, Code.REFUSED, Told.REFUSED)
    name = tuple(label.lower() for label in query.name)
    apex = zone.apex(name)
    return None if apex is None else _found(query, name, apex, zone)


def _refused(query: Query, code: Code, told: Told) -> Answer:
    return Answer(dns_wire.write(query, Reply(code=code, authoritative=False)), told)


def _written(query: Query, reply: Reply, *, stream: bool, recursion: bool) -> Answer:
    full = Reply(
        code=reply.code,
        answers=reply.answers,
        authority=reply.authority,
        additional=reply.additional,
        recursion=recursion,
    )
    wire = dns_wire.write(query, full, stream=stream)
    if wire[2] & 0x02:
        return Answer(wire, Told.CUT)
    if reply.code is Code.NXDOMAIN:
        return Answer(wire, Told.NO_NAME)
    return Answer(wire, Told.ANSWERED if reply.answers else Told.NO_DATA)


def _found(query: Query, name: Name, apex: Name, zone: Zone) -> Reply:
    soa = _soa(apex, zone)
    records = _records(name, apex, zone)
    if records is None:
        return Reply(code=Code.NXDOMAIN, authority=(soa,))
    wanted = [_as_asked(query, each) for each in records if each.type == query.type]
    if query.type == Type.ANY and records:
        # The least that tells a name that is there from one that is not (RFC 8482 §4.2).
        wanted = [Record(query.name, Type.HINFO, TTL_S, (b"RFC8482", b""))]
    if not wanted:
        return Reply(authority=(soa,))
    glue = _glue(zone) if query.type == Type.NS else ()
    return Reply(answers=wanted, additional=glue)


def _as_asked(query: Query, record: Record) -> Record:
    """Return *record* under its name as the client spelt it."""
    return Record(query.name, record.type, record.ttl, record.data)


def _records(name: Name, apex: Name, zone: Zone) -> tuple[Record, ...] | None:
    """Return all records of *name*; None when there is no such name, nor any below it."""
    if name == apex:
        server = Record(apex, Type.NS, TTL_S, _server(zone))
        return (_soa(apex, zone), server)
    find = _reverse if apex[-2:] == ARPA else _forward
    return find(name, zone)


def _forward(name: Name, zone: Zone) -> tuple[Record, ...] | None:
    if len(name) != len(zone.domain) + 1:
        return None  # the zone is flat: nothing lies below a host
    addresses = zone.addresses.get(name[0])
    if addresses is None:
        return None
    return tuple(Record(name, Type.A, TTL_S, address) for address in addresses)


def _reverse(name: Name, zone: Zone) -> tuple[Record, ...] | None:
    octets = octets_of(name) or b""
    if len(name) > len(ARPA) + 4:
        return None
    if len(octets) < 4:
        return () if zone.below(octets) else None  # a name in the middle: there, and empty
    label = zone.names.get(octets)
    return None if label is None else (Record(name, Type.PTR, TTL_S, (label, *zone.domain)),)


def _soa(apex: Name, zone: Zone) -> Record:
    data = Soa(
        server=_server(zone),
        mailbox=(b"hostmaster", *zone.domain),
        serial=zone.serial,
        refresh=3600,
        retry=600,
        expire=86400,
        negative=NEGATIVE_TTL_S,
    )
    # The smaller of the two is what a resolver keeps a "no" for (RFC 2308 §5).
    return Record(apex, Type.SOA, NEGATIVE_TTL_S, data)


def _server(zone: Zone) -> Name:
    return (SERVER.encode(), *zone.domain)


def _glue(zone: Zone) -> tuple[Record, ...]:
    found = zone.addresses.get(SERVER.encode(), ())
    return tuple(Record(_server(zone), Type.A, TTL_S, address) for address in found)
