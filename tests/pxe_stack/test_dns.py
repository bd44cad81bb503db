"""What DNS answers, by the RFCs: dnslib reads the replies, as any client would."""

from dataclasses import replace
from ipaddress import IPv4Network

import dnslib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pxe_stack import dns, dns_wire
from pxe_stack.dns import Answer, Elsewhere, Silence, Told
from pxe_stack.dns_wire import Code
from pxe_stack.dns_zone import Host
from tests.pxe_stack.dns_make import HOSTS, query, read, said, zone

ZONE = zone()
SOA = ["SOA"]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("node-01.rack.test", "A", ("NOERROR", ["A 10.77.0.21"], [])),
        ("NODE-01.Rack.TEST", "A", ("NOERROR", ["A 10.77.0.21"], [])),
        ("boot.rack.test", "A", ("NOERROR", ["A 10.77.0.1"], [])),
        ("node-01.rack.test", "AAAA", ("NOERROR", [], SOA)),
        ("node-01.rack.test", "TXT", ("NOERROR", [], SOA)),
        ("rack.test", "A", ("NOERROR", [], SOA)),
        ("rack.test", "NS", ("NOERROR", ["NS ns.rack.test."], [])),
        ("node-99.rack.test", "A", ("NXDOMAIN", [], SOA)),
        ("x.node-01.rack.test", "A", ("NXDOMAIN", [], SOA)),
        ("*.rack.test", "A", ("NXDOMAIN", [], SOA)),
        ("21.0.77.10.in-addr.arpa", "PTR", ("NOERROR", ["PTR node-01.rack.test."], [])),
        ("1.0.77.10.in-addr.arpa", "PTR", ("NOERROR", ["PTR boot.rack.test."], [])),
        ("21.0.77.10.in-addr.arpa", "A", ("NOERROR", [], SOA)),
        ("99.0.77.10.in-addr.arpa", "PTR", ("NXDOMAIN", [], SOA)),
        ("x.21.0.77.10.in-addr.arpa", "PTR", ("NXDOMAIN", [], SOA)),
        ("0.77.10.in-addr.arpa", "NS", ("NOERROR", ["NS ns.rack.test."], [])),
        ("node-01.rack.test", "ANY", ("NOERROR", [r"HINFO \# 9 075246433834383200"], [])),
        ("node-99.rack.test", "ANY", ("NXDOMAIN", [], SOA)),
    ],
)
def test_a_question_about_the_zone_is_answered_with_authority(name, kind, expected):
    answer = dns.answer(query(name, kind), ZONE)

    assert said(answer.wire) == expected
    assert read(answer.wire).header.aa


@pytest.mark.parametrize("kind", ["A", "SOA"])
def test_a_no_says_how_long_it_holds_and_which_serial_it_is_of(kind):
    reply = read(dns.answer(query("node-99.rack.test", kind), ZONE).wire)

    (soa,) = reply.auth
    assert str(soa.rname) == "rack.test."
    assert str(soa.rdata).split() == [
        *("ns.rack.test.", "hostmaster.rack.test."),
        *("7", "3600", "600", "86400", str(dns.NEGATIVE_TTL_S)),
    ]
    assert soa.ttl == dns.NEGATIVE_TTL_S


def test_the_client_finds_its_own_spelling_and_number_in_the_reply():
    raw = query("NoDe-01.rAcK.tEsT")

    reply = read(dns.answer(raw, ZONE).wire)

    assert str(reply.q.qname) == str(reply.rr[0].rname) == "NoDe-01.rAcK.tEsT."
    assert reply.header.id == read(raw).header.id


@pytest.mark.parametrize(
    ("kind", "klass", "told"),
    [
        ("AXFR", "IN", Told.TRANSFER),
        ("IXFR", "IN", Told.TRANSFER),
        ("TXT", "CH", Told.REFUSED),
        ("A", "*", Told.REFUSED),
        ("TSIG", "IN", Told.REFUSED),
        ("TKEY", "IN", Told.REFUSED),
    ],
)
def test_transfers_other_classes_and_transactions_are_refused(kind, klass, told):
    answer = dns.answer(query("rack.test", kind, klass=klass), ZONE, stream=True)

    assert (said(answer.wire)[0], answer.told) == ("REFUSED", told)


def test_an_incremental_transfer_with_its_record_is_refused_and_not_called_malformed():
    asked = dnslib.DNSRecord.question("rack.test", "IXFR")
    asked.add_auth(dnslib.RR("rack.test", dnslib.QTYPE.SOA, rdata=dnslib.SOA("a.", "b.")))

    assert dns.answer(bytes(asked.pack()), ZONE).told is Told.TRANSFER


@pytest.mark.parametrize(
    "name",
    ["example.org", "test", "", "xrack.test", "1.1.77.10.in-addr.arpa", "arpa", "in-addr.arpa"],
)
def test_what_lies_elsewhere_is_no_business_of_ours(name):
    decided = dns.answer(query(name), ZONE)

    assert isinstance(decided, Elsewhere)
    assert said(decided.refused.wire) == ("REFUSED", [], [])


class TestReverseZones:
    def test_a_network_between_octets_is_as_many_zones_as_it_touches(self):
        big = zone(networks=[IPv4Network("10.76.0.0/22")], hosts=[Host("far", "10.76.3.9")])

        assert said(dns.answer(query("9.3.76.10.in-addr.arpa", "PTR"), big).wire)[1]
        assert said(dns.answer(query("2.76.10.in-addr.arpa", "SOA"), big).wire)[0] == "NOERROR"
        assert isinstance(dns.answer(query("4.76.10.in-addr.arpa", "SOA"), big), Elsewhere)

    def test_of_the_zone_of_a_small_network_only_its_addresses_are_ours(self):
        small = zone(networks=[IPv4Network("10.77.0.0/26")])

        assert (
            said(dns.answer(query("63.0.77.10.in-addr.arpa", "PTR"), small).wire)[0] == "NXDOMAIN"
        )
        assert isinstance(dns.answer(query("64.0.77.10.in-addr.arpa", "PTR"), small), Elsewhere)

    def test_names_between_zone_and_host_are_there_and_empty(self):
        wide = zone(networks=[IPv4Network("10.0.0.0/8")])

        assert said(dns.answer(query("77.10.in-addr.arpa", "PTR"), wide).wire)[0] == "NOERROR"
        assert said(dns.answer(query("0.77.10.in-addr.arpa", "PTR"), wide).wire)[0] == "NOERROR"
        assert said(dns.answer(query("1.77.10.in-addr.arpa", "PTR"), wide).wire)[0] == "NXDOMAIN"


class TestNames:
    def test_of_a_long_name_the_first_label_counts_as_dhcp_has_it(self):
        made = zone(hosts=[Host("Node-07.elsewhere.example", "10.77.0.7")])

        assert said(dns.answer(query("node-07.rack.test"), made).wire)[1] == ["A 10.77.0.7"]

    def test_no_host_takes_a_name_or_an_address_of_the_site(self):
        thief = [Host("boot", "10.77.0.66"), Host("mine", "10.77.0.1")]
        made = zone(hosts=thief)

        assert said(dns.answer(query("boot.rack.test"), made).wire)[1] == ["A 10.77.0.1"]
        assert said(dns.answer(query("mine.rack.test"), made).wire)[0] == "NXDOMAIN"
        assert said(dns.answer(query("66.0.77.10.in-addr.arpa", "PTR"), made).wire)[0] == "NXDOMAIN"

    @pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 64, "ä", "*", "a_b"])
    def test_what_is_no_host_name_is_left_out(self, name):
        assert zone(hosts=[Host(name, "10.77.0.9")]).addresses.keys() == {b"boot", b"ns"}


class TestEdns:
    def test_a_client_that_speaks_it_is_told_how_much_we_take(self):
        reply = read(dns.answer(query(edns=4096), ZONE).wire)

        (opt,) = reply.ar
        assert (opt.edns_len, opt.edns_ver, opt.edns_do) == (dns_wire.OWN_SIZE, 0, 1)

    def test_a_client_that_does_not_is_not_troubled_with_it(self):
        assert read(dns.answer(query(), ZONE).wire).ar == []

    def test_a_later_version_is_told_which_one_we_speak(self):
        reply = read(dns.answer(query(edns=1232, version=3), ZONE).wire)

        (opt,) = reply.ar
        assert (opt.edns_rcode << 4 | reply.header.rcode) == Code.BADVERS
        assert (opt.edns_ver, reply.rr) == (0, [])

    def test_two_of_them_are_malformed(self):
        asked = dnslib.DNSRecord.question("node-01.rack.test")
        asked.add_ar(dnslib.EDNS0(), dnslib.EDNS0())

        assert dns.answer(bytes(asked.pack()), ZONE).told is Told.MALFORMED


class TestSize:
    MANY = zone(hosts=[Host("big", f"10.77.0.{n}") for n in range(2, 92)])

    @pytest.mark.parametrize(("edns", "whole"), [(None, False), (512, False), (1232, False)])
    def test_what_does_not_fit_is_cut_and_says_so(self, edns, whole):
        answer = dns.answer(query("big.rack.test", edns=edns), self.MANY)

        reply = read(answer.wire)
        assert (bool(reply.header.tc), reply.rr, answer.told) == (True, [], Told.CUT)
        assert len(answer.wire) <= (edns or 512)

    def test_by_tcp_it_comes_whole(self):
        reply = read(dns.answer(query("big.rack.test"), self.MANY, stream=True).wire)

        assert (len(reply.rr), reply.header.tc) == (90, 0)


def test_recursion_is_offered_to_those_whose_questions_are_forwarded():
    offered = dns.answer(query(), ZONE, recursion=True)

    assert (read(offered.wire).header.ra, read(dns.answer(query(), ZONE).wire).header.ra) == (1, 0)


HEAD = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
TAIL = b"\x00\x01\x00\x01"
NAME = b"\x07node-01\x04rack\x04test\x00"


@pytest.mark.parametrize(
    ("raw", "code"),
    {
        "pointer to itself": (HEAD + b"\xc0\x0c" + TAIL, 1),
        "pointer to the header": (HEAD + b"\xc0\x00" + TAIL, 1),
        "a label of a kind that is none": (HEAD + b"\x40" + b"a" * 64 + b"\x00" + TAIL, 1),
        "a label that does not end": (HEAD + b"\x3fabc", 1),
        "a name of 256 bytes": (HEAD + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + TAIL, 1),
        "no question": (HEAD[:4] + bytes(8), 1),
        "two questions": (HEAD[:4] + b"\0\2" + bytes(6) + (NAME + TAIL) * 2, 1),
        "a question cut off": (HEAD + NAME + b"\0", 1),
        "more than a message": (HEAD + NAME + TAIL + b"more", 1),
        "an answer in a query": (HEAD[:6] + b"\0\1\0\0\0\0" + NAME + TAIL, 1),
        "records that are not there": (HEAD[:10] + b"\xff\xff" + NAME + TAIL, 1),
        "an OPT of another name": (
            HEAD[:10] + b"\0\1" + NAME + TAIL + NAME + b"\0\x29" + bytes(8),
            1,
        ),
        "an inverse query": (b"\0\0\x08\0" + HEAD[4:] + NAME + TAIL, 4),
        "an update": (b"\0\0\x28\0" + HEAD[4:] + NAME + TAIL, 4),
        "a notification": (b"\0\0\x20\0" + HEAD[4:] + NAME + TAIL, 4),
    }.values(),
)
def test_what_is_malformed_is_told_so_in_a_header(raw, code):
    answer = dns.answer(raw, ZONE)

    assert (len(answer.wire), answer.wire[3] & 15, answer.wire[:2]) == (12, code, raw[:2])
    assert answer.wire[2] & 0x80


@pytest.mark.parametrize("raw", [b"", HEAD[:11], b"\0\0\x80\0" + HEAD[4:] + NAME + TAIL])
def test_what_could_make_two_servers_talk_for_ever_gets_no_answer(raw):
    assert dns.answer(raw, ZONE) == Silence(Told.NO_QUERY)


def test_a_label_of_any_bytes_is_a_name_that_is_not_there():
    answer = dns.answer(HEAD + b"\x03\xff\x00.\x04rack\x04test\x00" + TAIL, ZONE)

    assert answer.told is Told.NO_NAME


SAMPLES = [query(), query(edns=4096), query("21.0.77.10.in-addr.arpa", "PTR"), HEAD + NAME + TAIL]


@st.composite
def mutated(draw):
    raw = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        raw = raw or bytearray(b"\0")
    return bytes(raw)


@given(st.one_of(mutated(), st.binary(max_size=600)))
@example(HEAD + b"\xc0\x0c" + TAIL)
def test_no_bytes_raise_and_no_reply_is_longer_than_it_may_be(raw):
    decided = dns.answer(raw, ZONE)

    wire = {Answer: lambda: decided.wire, Elsewhere: lambda: decided.refused.wire}.get(
        type(decided), lambda: b""
    )()
    assert len(wire) <= dns_wire.OWN_SIZE
    assert len(wire) <= len(raw) + 110, "an answer must not be worth forging a question for"
    assert not wire or wire[2] & 0x80


def test_the_zone_says_when_it_says_the_same():
    assert ZONE.same_as(replace(ZONE, serial=9))
    assert not ZONE.same_as(zone(hosts=HOSTS[:1]))
