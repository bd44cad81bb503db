"""Requests and answers as bytes, sans I/O; whatever a stranger writes becomes an ERROR packet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketERR, TftpPacketOACK

from pxe_stack import tftp_packets
from pxe_stack.tftp_outcome import Why
from pxe_stack.tftp_packets import Code, Refused
from tests.pxe_stack.tftp_corpus import CORPUS
from tests.pxe_stack.tftp_lab import rrq


def test_a_request_is_read_with_its_options_in_lower_case():
    asked = tftp_packets.read(rrq(options={"BLKSIZE": "1428", "tsize": "0"}))

    assert (asked.name, asked.mode) == ("snponly.efi", "octet")
    assert asked.options == {"blksize": "1428", "tsize": "0"}


@pytest.mark.parametrize("mode", ["octet", "OCTET", "Octet", "netascii", "NetASCII"])
def test_a_mode_is_read_in_any_case(mode):
    assert tftp_packets.read(b"\0\1a\0" + mode.encode() + b"\0").mode == mode.lower()


@pytest.mark.parametrize(
    ("options", "read"),
    [
        (b"", {}),
        (b"\0", {}),
        (b"\0\0\0\0", {}),
        (b"tsize\x000\0\0\0", {"tsize": "0"}),
        (b"multicast\0\0tsize\x000\0", {"tsize": "0"}),
        (b"tsize\x000\0multicast\0\0", {"tsize": "0"}),
        (b"blksize\0", {}),
        (b"blksize\x00512\0BlkSize\x001024\0", {"blksize": "1024"}),
    ],
)
def test_options_that_say_nothing_are_passed_over(options, read):
    assert tftp_packets.read(b"\0\1a\0octet\0" + options).options == read


@pytest.mark.parametrize(
    ("raw", "code", "why"),
    [
        (b"", Code.ILLEGAL, Why.MALFORMED),
        (b"\0", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01name", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01name\0octet", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01\xff\xfe\0octet\0", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01a\0mail\0", Code.ILLEGAL, Why.BAD_MODE),
        (b"\0\x01" + b"a" * 2000 + b"\0octet\0", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x03\0\x01data", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x09a\0octet\0", Code.ILLEGAL, Why.MALFORMED),
        (b"\0\x01a\0octet\0blksize\x00512", Code.OPTIONS, Why.BAD_OPTIONS),
        (b"\0\x01a\0octet\0blk\xff\x00512\0", Code.OPTIONS, Why.BAD_OPTIONS),
        (b"\0\x02a\0octet\0", Code.DENIED, Why.READ_ONLY),
        (b"\0\x02a\0octet\0blksize\x00512\0", Code.DENIED, Why.READ_ONLY),
    ],
)
def test_what_is_no_read_request_is_refused_with_its_code(raw, code, why):
    with pytest.raises(Refused) as caught:
        tftp_packets.read(raw)

    assert (caught.value.code, caught.value.why) == (code, why)


@pytest.mark.parametrize("code", Code)
def test_every_error_is_written_as_tftpy_reads_it(code):
    packet = TftpPacketFactory().parse(tftp_packets.error_packet(code))

    assert isinstance(packet, TftpPacketERR)
    assert packet.errorcode == code


def test_an_oack_is_written_as_tftpy_reads_it():
    answer = {"blksize": "1468", "tsize": "1000000", "windowsize": "16", "timeout": "3"}

    packet = TftpPacketFactory().parse(tftp_packets.oack_packet(answer))

    assert isinstance(packet, TftpPacketOACK)
    assert packet.options == answer


@pytest.mark.parametrize("raw", CORPUS)
def test_no_packet_of_the_corpus_makes_the_reader_fail_otherwise_than_by_refusing(raw):
    try:
        tftp_packets.read(raw)
    except Refused as refused:
        assert tftp_packets.error_packet(refused.code)[:2] == b"\0\x05"  # noqa: PT017 - or none


@settings(max_examples=3_000, deadline=None)
@given(st.binary(max_size=600), st.sampled_from(CORPUS), st.integers(0, 600))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_refusing(raw, whole, at):
    for data in (raw, b"\0\x01" + raw, whole[:at] + raw + whole[at:]):
        try:
            tftp_packets.read(data)
        except Refused:
            continue
