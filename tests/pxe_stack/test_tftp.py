"""Requests and options, sans I/O; whatever a stranger writes becomes an ERROR packet."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tftpy.TftpPacketTypes import TftpPacketRRQ

from pxe_stack import tftp, transfer
from pxe_stack.tftp import Refused


def rrq(name="snponly.efi", mode="octet", options=None):
    packet = TftpPacketRRQ()
    packet.filename, packet.mode, packet.options = name, mode, options or {}
    return bytes(packet.encode().buffer)


def test_a_request_is_read_with_its_options_in_lower_case():
    asked = tftp.read(rrq(options={"BLKSIZE": "1428", "tsize": "0"}))

    assert (asked.name, asked.mode) == ("snponly.efi", "octet")
    assert asked.options == {"blksize": "1428", "tsize": "0"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\0\x01",
        b"\0\x01name",
        b"\0\x01name\0octet",
        b"\0\x01\xff\xfe\0octet\0",
        b"\0\x01a\0octet\0blksize\0",
        b"\0\x02a\0octet\0",
        b"\0\x03\0\x01data",
        b"\0\x09a\0octet\0",
        b"\0\x01a\0mail\0",
        b"\0\x01" + b"a" * 2000 + b"\0octet\0",
    ],
)
def test_what_is_no_read_request_is_refused_with_a_code(raw):
    with pytest.raises(Refused) as caught:
        tftp.read(raw)

    assert tftp.error_packet(caught.value.code)[:2] == b"\0\x05"


@settings(max_examples=3_000, deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_refusing(raw):
    for data in (raw, b"\0\x01" + raw):
        try:
            tftp.read(data)
        except Refused:
            continue


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, {}),
        ({"tsize": "0"}, {"tsize": "1000"}),
        ({"blksize": "1428"}, {"blksize": "1428"}),
        ({"blksize": "65464"}, {"blksize": "1468"}),
        ({"blksize": "7"}, {}),
        ({"blksize": "abc"}, {}),
        ({"blksize": "-5"}, {}),
        ({"blksize": "²"}, {}),
        ({"windowsize": "16"}, {"windowsize": "16"}),
        ({"windowsize": "65535"}, {"windowsize": "64"}),
        ({"windowsize": "0"}, {}),
        ({"timeout": "3"}, {"timeout": "3"}),
        ({"timeout": "256"}, {}),
        ({"multicast": ""}, {}),
    ],
)
def test_only_what_was_asked_and_can_be_done_is_answered(asked, answer):
    assert transfer.agree(asked, 1000).answer == answer


def test_hostile_numbers_in_options_are_left_out_whatever_they_are():
    rng = random.Random(7440)
    for _ in range(2_000):
        text = "".join(chr(rng.randrange(1, 300)) for _ in range(rng.randrange(12)))
        agreed = transfer.agree({"blksize": text, "windowsize": text, "timeout": text}, 1)
        assert 8 <= agreed.blksize <= transfer.LARGEST_BLOCK
        assert 1 <= agreed.window <= transfer.LARGEST_WINDOW
