"""Options, and one download from block to block, as pure rules (RFC 1350, 2347-2349, 7440)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_stack import transfer
from pxe_stack.transfer import Agreed, Next, Transfer, agree

DONE, GIVE_UP, NOTHING, SEND, TOO_SLOW = (
    Next.DONE,
    Next.GIVE_UP,
    Next.NOTHING,
    Next.SEND,
    Next.TOO_SLOW,
)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, {}),
        ({"tsize": "0"}, {"tsize": "1000"}),
        ({"tsize": "abc"}, {"tsize": "1000"}),
        ({"blksize": "8"}, {"blksize": "8"}),
        ({"blksize": "512"}, {"blksize": "512"}),
        ({"blksize": "1428"}, {"blksize": "1428"}),
        ({"blksize": "1469"}, {"blksize": "1468"}),
        ({"blksize": "65464"}, {"blksize": "1468"}),
        ({"blksize": "65465"}, {}),
        ({"blksize": "7"}, {}),
        ({"blksize": ""}, {}),
        ({"blksize": "abc"}, {}),
        ({"blksize": "-5"}, {}),
        ({"blksize": "+512"}, {}),
        ({"blksize": "0x200"}, {}),
        ({"blksize": "²"}, {}),
        ({"blksize": "9" * 400}, {}),
        ({"windowsize": "1"}, {"windowsize": "1"}),
        ({"windowsize": "16"}, {"windowsize": "16"}),
        ({"windowsize": "65535"}, {"windowsize": "64"}),
        ({"windowsize": "65536"}, {}),
        ({"windowsize": "0"}, {}),
        ({"timeout": "1"}, {"timeout": "1"}),
        ({"timeout": "255"}, {"timeout": "255"}),
        ({"timeout": "0"}, {}),
        ({"timeout": "256"}, {}),
        ({"multicast": "x", "rollover": "0", "utimeout": "500000"}, {}),
        ({"blksize": "abc", "tsize": "0"}, {"tsize": "1000"}),
    ],
)
def test_only_what_was_asked_and_can_be_done_is_answered(asked, answer):
    assert agree(asked, 1000).answer == answer


def test_what_is_answered_is_what_is_done():
    agreed = agree({"blksize": "9000", "windowsize": "100", "timeout": "7"}, 1000)

    assert (agreed.blksize, agreed.window, agreed.timeout_s) == (1468, 64, 7)


def test_hostile_numbers_in_options_are_left_out_whatever_they_are():
    rng = random.Random(7440)
    for _ in range(2_000):
        text = "".join(chr(rng.randrange(1, 300)) for _ in range(rng.randrange(12)))
        agreed = agree({"blksize": text, "windowsize": text, "timeout": text}, 1)
        assert 8 <= agreed.blksize <= transfer.LARGEST_BLOCK
        assert 1 <= agreed.window <= transfer.LARGEST_WINDOW


def begun(total=10, **agreed):
    """A transfer whose first packet was sent at second 0."""
    made = Transfer(agreed=Agreed(**agreed), total=total, begun=0.0)
    if made.awaits_oack:
        made.sent(0.0)
    else:
        made.window(0.0)
    return made


def windowed(window, total=100):
    """A transfer in windows, whose OACK was confirmed after 1 ms."""
    made = begun(total, window=window, answer={"windowsize": str(window)})
    assert made.on_ack(0, 0.001) is SEND
    assert made.window(0.001) == (0, min(window, total))
    return made


def test_blocks_go_one_by_one_until_the_last_is_confirmed():
    plain = begun(total=3)

    assert plain.on_ack(1, 0.1) is SEND
    assert plain.window(0.1) == (1, 2)
    assert plain.on_ack(2, 0.2) is SEND
    assert plain.window(0.2) == (2, 3)
    assert plain.on_ack(3, 0.3) is DONE


def test_the_first_block_follows_the_confirmed_options_and_nothing_else():
    asked = begun(answer={"tsize": "1"})

    assert [asked.on_ack(number, 0.1) for number in (1, 2, 65535)] == [NOTHING] * 3
    assert not asked.proven
    assert asked.on_ack(0, 0.1) is SEND
    assert asked.proven
    assert asked.window(0.1) == (0, 1)


def test_a_repeated_ack_of_a_lone_block_is_no_reason_to_send(  # RFC 1123 section 4.2.3.1
):
    plain = begun()
    plain.on_ack(1, 0.1)
    plain.window(0.1)

    assert [plain.on_ack(1, 0.1 + n) for n in range(1, 50)] == [NOTHING] * 49
    assert plain.resent == 0


@pytest.mark.parametrize("number", [0, 3, 5, 9, 32768, 65535])
def test_an_ack_of_what_was_never_sent_is_left_alone(number):
    plain = begun()
    plain.on_ack(1, 0.1)
    plain.window(0.1)

    assert plain.on_ack(number, 5.0) is NOTHING
    assert plain.acked == 1


def test_a_whole_window_is_confirmed_by_its_last_block():
    wide = windowed(16)

    assert wide.on_ack(16, 0.002) is SEND
    assert wide.window(0.002) == (16, 32)


def test_after_a_gap_the_window_starts_where_the_gap_was():
    wide = windowed(16)

    assert wide.on_ack(5, 0.002) is SEND
    assert wide.window(0.002) == (5, 21)


def test_a_window_whose_first_block_was_lost_is_sent_again_at_once():
    wide = windowed(16)
    wide.on_ack(16, 0.002)
    wide.window(0.002)

    assert wide.on_ack(16, 0.003) is SEND
    assert wide.window(0.003) == (16, 32)
    assert wide.resent == 16


def test_an_ack_repeated_faster_than_the_wire_is_an_echo():
    wide = windowed(16)
    wide.on_ack(16, 0.002)
    wide.window(0.002)

    assert [wide.on_ack(16, 0.0021) for _ in range(5)] == [NOTHING] * 5


def test_acks_that_are_all_repeated_do_not_double_a_transfer_for_ever():
    wide, now = windowed(4, total=4_000), 0.001
    for number in range(4, 4_000, 4):
        for delay in (0.001, 0.0008):  # the ACK, and its repetition
            now += delay
            if wide.on_ack(number & 0xFFFF, now) is SEND:
                wide.window(now)

    # A window in two, as whole windows earn it, and not every one.
    assert wide.resent <= 4_000 / 2 + 8 * 4


def test_windows_that_end_elsewhere_at_the_client_are_gone_on_with():
    wide, now, sent = windowed(8, total=8_000), 0.001, 8
    for number in range(4, 7_990, 8):  # always in the middle of what is on its way
        now += 0.001
        assert wide.on_ack(number & 0xFFFF, now) is SEND
        first, last = wide.window(now)
        sent += last - first

    assert sent <= 8_000 * 1.1


def test_a_gap_now_and_then_is_filled_at_once_for_ever():
    wide, now = windowed(16, total=16_000), 0.001
    while wide.acked < 15_900:
        for step in (16, 16, 16, 9):
            now += 0.001
            assert wide.on_ack((wide.acked + step) & 0xFFFF, now) is SEND
            first, _ = wide.window(now)
            assert first == wide.acked


def test_a_flood_of_acks_is_answered_by_few_windows():
    wide, sent = windowed(64), 0
    for n in range(900):
        if wide.on_ack(0, 0.01 + n / 1000) is SEND:
            wide.window(0.01 + n / 1000)
            sent += 1

    assert sent <= transfer.CREDIT / transfer.REPEAT_COST


def test_block_numbers_wrap_and_the_file_goes_on():
    long, now = begun(total=200_000, window=64, answer={"windowsize": "64"}), 0.001
    assert long.on_ack(0, now) is SEND
    while True:
        now += 0.001
        _, last = long.window(now)
        called_for = long.on_ack(last & 0xFFFF, now + 0.0005)
        if called_for is not SEND:
            break

    assert called_for is DONE
    assert (long.acked, long.resent) == (200_000, 0)


def test_silence_is_met_with_patience_that_grows_and_ends():
    plain = begun()
    plain.on_ack(1, 0.0)
    plain.window(0.0)
    waits = []
    while plain.on_silence(plain.due) is SEND:
        waits.append(plain.due - plain.sent_at)
        plain.window(plain.due)

    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert plain.resent == 5


def test_who_never_answered_is_given_up_sooner():
    plain = begun()
    sent = 0
    while plain.on_silence(plain.due) is SEND:
        plain.window(plain.due)
        sent += 1

    assert sent == 3


def test_an_answer_after_silence_resets_patience():
    plain = begun()
    plain.on_silence(1.0)
    plain.window(1.0)
    assert plain.due == 3.0

    plain.on_ack(1, 1.5)
    plain.window(1.5)

    assert plain.due == 2.5


def test_the_agreed_timeout_is_kept_and_does_not_grow():
    slow = begun(timeout_s=7, answer={"timeout": "7"})
    assert slow.due == 7.0
    slow.on_silence(7.0)
    slow.sent(7.0)

    assert slow.due == 14.0


def test_a_timeout_of_minutes_does_not_keep_a_silent_client():
    slow = begun(timeout_s=255, answer={"timeout": "255"})

    assert slow.due == transfer.IDLE_S
    assert slow.on_silence(slow.due) is GIVE_UP


def test_a_client_that_is_just_quick_enough_for_ever_is_not_served_for_ever():
    plain, now = begun(total=10**9), 0.0
    while now < transfer.WHOLE_S - 1:
        now += 0.9
        assert plain.on_ack((plain.acked + 1) & 0xFFFF, now) is SEND
        plain.window(now)

    assert plain.due <= transfer.WHOLE_S
    assert plain.on_silence(transfer.WHOLE_S) is TOO_SLOW


@given(st.lists(st.integers(0, 65535), max_size=200), st.integers(1, 64), st.integers(1, 300))
def test_no_acks_whatsoever_confirm_more_than_was_sent(numbers, window, total):
    any_ = begun(total, window=window)
    now, furthest = 0.0, min(window, total)
    for number in numbers:
        now += 0.01
        called_for = any_.on_ack(number, now)
        assert any_.acked <= furthest
        if called_for is SEND:
            _, last = any_.window(now)
            furthest = max(furthest, last)
        elif called_for is DONE:
            assert any_.acked == total
            return
