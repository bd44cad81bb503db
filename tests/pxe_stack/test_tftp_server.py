"""The server on loopback, by packets that a test writes itself."""

import socket
import struct
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from pxe_stack import tftp_sockets, transfer
from pxe_stack.tftp_outcome import Counted, Why
from pxe_stack.tftp_table import MOST_OF_CLIENT, Table
from tests.pxe_stack.lab import until
from tests.pxe_stack.tftp_corpus import HOSTILE
from tests.pxe_stack.tftp_lab import FILE, ack, asked, client, downloaded, rrq, running


@pytest.fixture
def restless(tmp_path):
    """A server that soon sends again."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that sends nothing again for a minute: its clients here may stand for seconds."""
    monkeypatch.setattr(transfer, "FIRST_TIMEOUT_S", 60.0)
    monkeypatch.setattr(transfer, "LONGEST_TIMEOUT_S", 60.0)
    with running(tmp_path) as made:
        yield made


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tsize": "0"},
        {"blksize": "1468"},
        {"blksize": "8192", "tsize": "0", "timeout": "3"},
        {"BLKSIZE": "1024", "WindowSize": "4"},
        {"blksize": "1468", "windowsize": "16"},
        {"blksize": "1468", "windowsize": "64"},
        {"blksize": "512", "windowsize": "63"},
        {"blksize": "1000", "windowsize": "7"},
    ],
)
def test_a_file_comes_whole_whatever_is_agreed_on(server, options):
    with client() as sock:
        assert downloaded(sock, server, rrq(options=options)) == FILE

    until(lambda: server.ended)
    assert (server.ended[0].why, server.ended[0].resent) == (None, 0)


def test_windows_are_the_same_where_the_kernel_cuts_no_segments(server, monkeypatch):
    monkeypatch.setattr(tftp_sockets, "segmented", lambda sock, stride: 1)
    with client() as sock:
        asked_for = rrq(options={"blksize": "1468", "windowsize": "32"})
        assert downloaded(sock, server, asked_for) == FILE


def test_a_route_that_takes_no_segments_gets_packet_after_packet(server, monkeypatch):
    # More than one call can take: the kernel says so as it does of a route that is too narrow.
    monkeypatch.setattr(tftp_sockets, "segmented", lambda sock, stride: 65_536)
    with client() as sock:
        asked_for = rrq(options={"blksize": "1468", "windowsize": "64"})
        assert downloaded(sock, server, asked_for) == FILE


def test_netascii_is_converted_and_its_size_told(server):
    expected = b"BIOS\r\0\r\n" * 90
    with client() as sock:
        oack, _ = asked(sock, server, rrq("undionly.kpxe", options={"tsize": "0"}))
        assert oack == b"\0\6tsize\x00540\0"
    with client() as sock:
        request = b"\0\1undionly.kpxe\0netascii\0tsize\x000\0"
        assert asked(sock, server, request)[0] == b"\0\6tsize\x00720\0"
    with client() as sock:
        assert downloaded(sock, server, b"\0\1undionly.kpxe\0netascii\0") == expected


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (rrq("no-such-file"), 1),
        (rrq("/etc/passwd"), 1),
        (rrq("."), 1),
        (b"\0\2snponly.efi\0octet\0", 2),
        (b"\0\1snponly.efi\0mail\0", 4),
        (b"\0\1snponly.efi\0octet", 4),
        (b"\0\1snponly.efi\0octet\0blksize\x00512", 8),
        (b"\0\3\0\1data", 5),
        (b"\0\4\0\1", 5),
        (b"\0\6blksize\x00512\0", 5),
    ],
)
def test_what_cannot_be_had_is_refused_with_its_code(server, request_, code):
    with client() as sock:
        packet, source = asked(sock, server, request_)

    assert packet[:4] == bytes([0, 5, 0, code])
    assert source == server.address
    assert not server.table.by_fd


def test_an_error_is_never_answered_and_counted(server):
    with client() as sock:
        sock.sendto(b"\0\5\0\4what\0", server.address)
        for junk in (b"\0\x09what", b"\0", b""):
            sock.sendto(junk, server.address)
        packet, _ = asked(sock, server, rrq("no-such-file"))

        assert packet[:4] == b"\0\5\0\1"
        assert server.counts[Counted.IGNORED] == 4
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(100)


def test_a_repeated_request_is_no_second_transfer(server):
    with client() as sock:
        for _ in range(20):
            sock.sendto(rrq(), server.address)
        _, there = sock.recvfrom(1000)

        until(lambda: server.counts[Counted.REPEATED] == 19)
        assert len(server.table.by_fd) == 1
        sock.sendto(ack(1), there)
        assert sock.recv(1000)[:4] == b"\0\3\0\2"


def test_a_client_that_begins_anew_at_its_old_port_is_served_anew(server):
    with client() as sock:
        _, first = asked(sock, server, rrq("snponly.efi"))
        packet, second = asked(sock, server, rrq("undionly.kpxe"))

    assert first != second
    assert packet == b"\0\3\0\1" + (b"BIOS\r\n" * 90)[:512]
    assert [(end.name, end.why) for end in server.ended] == [("snponly.efi", Why.SUPERSEDED)]


def test_a_request_that_comes_late_does_not_end_the_transfer_that_it_began(server):
    with client() as sock:
        _, there = asked(sock, server)
        sock.sendto(ack(1), there)
        sock.recv(1000)
        session = server.table.of(sock.getsockname())
        session.transfer.begun -= 60
        sock.sendto(rrq(), server.address)
        until(lambda: server.counts[Counted.REPEATED] == 1)

        sock.sendto(ack(2), there)
        assert sock.recv(1000)[:4] == b"\0\3\0\3"


def test_a_client_that_fell_silent_and_asks_for_the_same_again_has_begun_anew(server):
    with client() as sock:
        _, first = asked(sock, server)
        sock.sendto(ack(1), first)
        sock.recv(1000)
        server.table.of(sock.getsockname()).transfer.progress_at -= 4

        packet, second = asked(sock, server)

        assert packet[:4] == b"\0\3\0\1"
        assert first != second


def test_a_stranger_cannot_confirm_a_block_or_end_a_transfer(server):
    with client() as sock, client("127.69.1.2") as stranger:
        _, there = asked(sock, server)
        for _ in range(50):
            stranger.sendto(ack(1), there)
            stranger.sendto(b"\0\5\0\0stop\0", there)
        stranger.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stranger.recv(1000)

        (session,) = server.table.by_fd.values()
        assert session.transfer.acked == 0
        sock.sendto(ack(1), there)
        assert sock.recv(1000)[:4] == b"\0\3\0\2"


def test_who_asks_for_the_size_and_aborts_leaves_a_count_and_no_row(server):
    with client() as sock:
        _, there = asked(sock, server, rrq(options={"tsize": "0"}))
        sock.sendto(b"\0\5\0\x08User aborted\0", there)
        until(lambda: server.counts[Counted.PROBED] == 1)

    assert (server.ended, server.table.by_fd) == ([], {})


def test_a_client_that_gives_up_in_the_middle_says_so_in_the_outcome(server):
    with client() as sock:
        _, there = asked(sock, server)
        sock.sendto(ack(1), there)
        sock.recv(1000)
        sock.sendto(b"\0\5\0\3disk \xffull\0", there)
        until(lambda: server.ended)

    (end,) = server.ended
    assert (end.why, end.blocks, end.detail) == (Why.CLIENT_ERROR, 1, "3 disk \ufffdull")


def test_a_client_that_is_gone_is_noticed_at_once(restless):
    with client() as sock:
        _, there = asked(sock, restless)
        sock.sendto(ack(1), there)  # what answers this finds nobody, or what comes again does
    until(lambda: restless.ended)

    assert restless.ended[0].why is Why.CLIENT_GONE


def test_a_client_that_is_gone_after_the_last_block_has_the_file(server):
    with client() as sock:
        _, there = asked(sock, server, rrq("undionly.kpxe"))
        sock.sendto(ack(1), there)
        assert len(sock.recv(1000)) < 516
    (session,) = server.table.by_fd.values()
    session.transfer.due = 0.0
    until(lambda: server.ended)

    assert server.ended[0].why is None


def test_one_address_has_few_transfers_and_the_most_silent_goes_first(server):
    with client() as busy, client() as sock:
        _, there = asked(busy, server)
        for number in range(40):
            busy.sendto(ack(number + 1), there)
            busy.recv(1000)
            with client() as other:
                asked(other, server)
        until(lambda: len(server.table.by_fd) <= MOST_OF_CLIENT)

        busy.sendto(ack(41), there)
        assert busy.recv(1000)[:4] == b"\0\3\0\x2a"
        assert downloaded(sock, server) == FILE


def test_ten_thousand_who_ask_and_never_answer_hold_up_nobody(tmp_path):
    with running(tmp_path, Table(most=300, most_unproven=200)) as server:
        before = open_files()
        with client() as sock:
            sock.settimeout(0)
            for number in range(10_000):
                source = f"127.70.{number >> 8 & 255}.{number & 255}"
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                    silent.bind((source, 0))
                    silent.sendto(rrq(options={"blksize": "1468"}), server.address)
        with client("127.69.2.1") as sock:
            assert downloaded(sock, server, rrq(options={"windowsize": "16"})) == FILE
        assert open_files() <= before + 300


def test_a_flood_of_requests_goes_unanswered_when_all_places_are_proven(tmp_path):
    with running(tmp_path, Table(most=3)) as server, ExitStack() as held:
        for number in range(3):
            sock = held.enter_context(client(f"127.69.3.{number}"))
            _, there = asked(sock, server)
            sock.sendto(ack(1), there)
            sock.recv(1000)
        late = held.enter_context(client("127.69.1.9"))
        late.sendto(rrq(), server.address)
        until(lambda: server.counts[Counted.FULL] == 1)

        assert len(server.table.by_fd) == 3


def test_hostile_requests_leave_nothing_behind_and_the_next_client_is_served(restless):
    server = restless
    before = open_files()
    with client("127.69.1.7") as sock:
        for _ in range(5):
            for raw in HOSTILE:
                sock.sendto(raw[:65_000], server.address)
    until(lambda: not server.table.by_fd)

    with client() as sock:
        assert downloaded(sock, server) == FILE
    until(lambda: open_files() == before)
    assert server.counts[Counted.ERROR_HELD_BACK] > 0


def test_a_flood_of_acks_does_not_send_a_transfer_over_and_over(server):
    with client() as sock:
        _, there = asked(sock, server, rrq(options={"windowsize": "64"}))
        for _ in range(5_000):
            sock.sendto(ack(0), there)
        session = server.table.of(sock.getsockname())

        with client("127.69.1.3") as other:
            assert downloaded(other, server) == FILE
        assert session.transfer.resent <= 4 * 64


@pytest.mark.parametrize(
    ("local", "sent_to", "asked_at"),
    [("10.0.0.1", "10.0.0.1", "10.0.0.1"), ("10.0.0.1", "10.0.0.255", None)],
)
def test_a_request_to_a_broadcast_address_was_asked_of_nobody(local, sent_to, asked_at):
    info = struct.pack("=I4s4s", 2, socket.inet_aton(local), socket.inet_aton(sent_to))

    assert tftp_sockets.asked_at([(socket.IPPROTO_IP, 8, info)]) == asked_at
    assert tftp_sockets.asked_at([]) is None


def test_a_failure_in_one_transfer_ends_that_one_alone(server):
    with client() as sock, client("127.69.1.4") as other:
        _, there = asked(sock, server)
        (session,) = server.table.by_fd.values()
        session.transfer.sent_up_to = None
        sock.sendto(ack(1), there)
        until(lambda: server.ended)

        assert server.ended[0].why is Why.FAILED
        assert downloaded(other, server) == FILE


def test_many_clients_at_once_are_all_served(server):
    got = []

    def fetch(number):
        with client(f"127.69.4.{number}") as sock:
            got.append(downloaded(sock, server, rrq(options={"blksize": "1468"})))

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [FILE] * 40
