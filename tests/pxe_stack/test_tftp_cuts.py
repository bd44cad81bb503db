"""A file in DATA packets: the same whether they lie ready or are joined for the purpose."""

import struct

import pytest

from pxe_stack.cuts import Cuts

DATA = bytes(range(256)) * 40


def packets(data, blksize):
    """DATA packets as RFC 1350 has them, without a thought of speed."""
    blocks = [data[at : at + blksize] for at in range(0, len(data) + 1, blksize)]
    return [struct.pack("!HH", 3, n & 0xFFFF) + block for n, block in enumerate(blocks, 1)]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 10_240])
@pytest.mark.parametrize("blksize", [8, 512, 1468])
@pytest.mark.parametrize("ready", [False, True])
def test_a_file_is_cut_whole_and_ends_in_a_short_block(size, blksize, ready):
    cuts, data = Cuts(), DATA[:size]
    cut = cuts.cut(data, blksize)
    if ready:
        cuts.make_ready(cut)

    expected = packets(data, blksize)
    assert cut.blocks == len(expected)
    assert bytes(cut.packets(0, cut.blocks)) == b"".join(expected)
    assert [bytes(cut.packets(n, n + 1)) for n in range(cut.blocks)] == expected


def test_numbers_wrap_at_16_bits():
    cut = Cuts().cut(bytes(70_000 * 8), 8)

    wrapped = cut.packets(65_534, 65_537)

    assert wrapped[:4] + wrapped[12:16] + wrapped[24:28] == b"\0\3\xff\xff\0\3\0\0\0\3\0\1"


def test_all_who_want_the_same_share_one_cut():
    cuts = Cuts()

    first, second = cuts.cut(DATA, 512), cuts.cut(DATA, 512)
    assert first is second
    assert cuts.cut(DATA, 1024) is not first
    assert cuts.cut(bytes(DATA + b"x"), 512) is not first


def test_what_lies_ready_is_bounded_and_the_least_wanted_makes_room():
    cuts = Cuts(ready_bytes=25_000)
    cut = [cuts.cut(DATA, blksize) for blksize in (512, 1024, 1468)]
    cuts.make_ready(cut[0])
    cuts.make_ready(cut[1])
    cuts.make_ready(cut[0])
    cuts.make_ready(cut[2])

    assert [each.ready is not None for each in cut] == [True, False, True]
    assert bytes(cut[1].packets(0, cut[1].blocks)) == b"".join(packets(DATA, 1024))


def test_a_file_that_takes_long_to_cut_is_never_cut_as_a_whole():
    cuts = Cuts()
    cut = cuts.cut(bytes(1_000_000), 8)

    cuts.make_ready(cut)

    assert cut.ready is None


def test_a_cut_that_nobody_sends_is_forgotten():
    cuts = Cuts()
    cuts.cut(bytes(DATA), 512)

    assert len(cuts._cuts) == 0
