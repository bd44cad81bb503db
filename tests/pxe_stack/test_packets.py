"""The struct codec, held against scapy."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_stack import packets, wire
from pxe_stack.packets import Kind, Malformed, Option, Reply
from tests.pxe_stack import make

KINDS = ["discover", "request", "decline", "release", "inform"]
CASES = int(os.environ.get("DHCP_PACKETS", "5000"))
OPTIONS = [
    (50, 4), (54, 4), (57, 2), (60, None), (61, None), (77, None), (93, 2), (97, 17),
    (175, None), (12, None), (55, None), (82, None), (43, None),
]  # fmt: skip


def generated(rng):
    """Return (what scapy was told, the bytes)."""
    chosen = rng.sample(OPTIONS, rng.randrange(len(OPTIONS)))
    options = {code: rng.randbytes(length or rng.randrange(1, 40)) for code, length in chosen}
    told = {
        "kind": rng.choice(KINDS),
        "mac": rng.randbytes(6).hex(":"),
        "xid": rng.getrandbits(32),
        "ciaddr": ".".join(str(rng.randrange(256)) for _ in range(4)),
        "giaddr": ".".join(str(rng.randrange(256)) for _ in range(4)),
        "broadcast": rng.random() < 0.5,
    }
    raw = wire.request(
        told["kind"],
        told["mac"],
        xid=told["xid"],
        ciaddr=told["ciaddr"],
        giaddr=told["giaddr"],
        broadcast=told["broadcast"],
        options=list(options.items()),
    )
    return told, options, raw


def test_our_reader_and_scapy_agree_on_generated_requests():
    rng = random.Random(2131)

    for _ in range(CASES):
        told, options, raw = generated(rng)
        read = packets.parse(raw)
        assert read.kind is Kind[told["kind"].upper()]
        assert (read.mac, read.xid) == (told["mac"], told["xid"])
        assert (read.ciaddr, read.giaddr) == (told["ciaddr"], told["giaddr"])
        assert read.broadcast is told["broadcast"]
        assert {k: v for k, v in read.options.items() if k != 53} == options


def test_scapy_reads_what_we_build():
    reply = Reply(
        kind=Kind.OFFER,
        xid=77,
        mac=make.MAC,
        to=("10.0.0.2", 68),
        yiaddr="10.0.0.2",
        siaddr="10.0.0.1",
        file="snponly.efi",
        options=(
            (Option.MESSAGE_TYPE, b"\x02"),
            (Option.SERVER_ID, b"\x0a\0\0\x01"),
            (Option.LEASE_TIME, (3600).to_bytes(4, "big")),
        ),
    )

    read = wire.decoded(packets.build(reply))

    assert read["message-type"] == "offer"
    assert (read["yiaddr"], read["siaddr"], read["file"]) == ("10.0.0.2", "10.0.0.1", "snponly.efi")
    assert (read["server_id"], read["lease_time"]) == ("10.0.0.1", 3600)


def test_an_option_over_255_bytes_is_written_in_pieces_that_readers_join():
    value = bytes(range(256)) * 2
    reply = Reply(
        kind=Kind.ACK,
        xid=1,
        mac=make.MAC,
        to=("10.0.0.2", 68),
        options=((Option.MESSAGE_TYPE, b"\x05"), (Option.BOOT_FILE, value)),
        limit=1472,
    )
    raw = bytearray(packets.build(reply))
    raw[0] = 1

    assert packets.parse(bytes(raw)).options[Option.BOOT_FILE] == value


def test_a_reply_keeps_to_the_size_that_the_client_takes_and_keeps_the_relays_option():
    reply = Reply(
        kind=Kind.ACK,
        xid=1,
        mac=make.MAC,
        to=("10.0.0.2", 68),
        options=((Option.BOOT_FILE, b"x" * 2000), (Option.RELAY, b"r" * 20)),
        limit=548,
    )

    raw = packets.build(reply)

    assert len(raw) <= 548
    assert bytes((Option.RELAY, 20)) + b"r" * 20 in raw


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:239],
        lambda raw: b"\x02" + raw[1:],
        lambda raw: raw[:1] + b"\x06" + raw[2:],
        lambda raw: raw[:236] + b"\0\0\0\0" + raw[240:],
        lambda raw: raw[:240] + b"\x35\x01\x09\xff",
        lambda raw: raw[:240] + b"\xff",
        lambda raw: raw[:240] + b"\x35\x05\x01",
        lambda raw: raw[:240] + b"\x35\x01\x01\x32\x03abc\xff",
        lambda raw: b"",
    ],
)
def test_what_is_no_request_is_malformed(spoil):
    with pytest.raises(Malformed):
        packets.parse(spoil(wire.request("discover", make.MAC)))


@settings(max_examples=2_000, deadline=None)
@given(st.binary(max_size=700))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_saying_so(raw):
    head = wire.request("discover", make.MAC)[:240]
    for data in (raw, head + raw):
        try:
            packets.parse(data)
        except Malformed:
            continue
