"""The body of a large answer, read piece by piece to where the caller wants it."""

import socket
import struct
import threading
from contextlib import contextmanager, suppress

import pytest

from actors.drivers import bulk, reach
from actors.drivers.bulk import Peer
from actors.drivers.errors import Unreachable

BODY = bytes(range(256)) * 400


@contextmanager
def asked(serve):
    """The answer that *serve*, given the connection, sends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            line, _ = listener.accept()
            with line, suppress(OSError):  # who asked may leave early
                line.recv(65536)
                serve(line)

        thread = threading.Thread(target=answer)
        thread.start()
        peer = Peer("the peer", reach.control(), lambda: None)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        try:
            with bulk.exchange(peer, "GET", url, headers={}) as answer:
                yield answer
        finally:
            thread.join(60)


def head(length, more=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (length, more)


def all_of(answer, room):
    """Return what comes, through a room of *room* bytes."""
    buffer, whole = bytearray(room), b""
    while length := answer.read_into(memoryview(buffer)):
        whole += buffer[:length]
    return whole


@pytest.mark.parametrize("room", [7, 8191, 8192, 8193, len(BODY), 4 << 20])
def test_all_comes_through_any_room(room):
    with asked(lambda line: line.sendall(head(len(BODY)) + BODY)) as answer:
        assert all_of(answer, room) == BODY
        assert answer.read_into(memoryview(bytearray(9))) == 0


@pytest.mark.parametrize("room", [100, 4 << 20])
def test_what_came_with_the_head_is_not_lost(room):
    """The library that read the head has the first bytes of the body in its memory."""

    def serve(line):
        line.sendall(head(len(BODY)) + BODY[:300])
        line.sendall(BODY[300:])

    with asked(serve) as answer:
        assert all_of(answer, room) == BODY


def test_what_has_come_is_given_before_more_comes():
    turns = threading.Semaphore(0)

    def serve(line):
        line.sendall(head(30))
        for number in range(3):
            line.sendall(b"%d" % number * 10)
            turns.acquire(timeout=60)

    buffer = bytearray(1 << 20)
    with asked(serve) as answer:
        for number in range(3):
            came = 0
            while came < 10:
                came += answer.read_into(memoryview(buffer)[came:])
            assert buffer[:came] == b"%d" % number * 10
            turns.release()


@pytest.mark.parametrize("room", [1000, 4 << 20])
def test_no_more_is_taken_than_was_announced(room):
    with asked(lambda line: line.sendall(head(1500) + BODY)) as answer:
        assert all_of(answer, room) == BODY[:1500]


@pytest.mark.parametrize("come", [0, 10, 50_000])
def test_one_that_ends_early_ends_there(come):
    with asked(lambda line: line.sendall(head(len(BODY)) + BODY[:come])) as answer:
        assert all_of(answer, 20_000) == BODY[:come]
        assert answer.read_into(memoryview(bytearray(9))) == 0


def test_an_empty_one_is_empty():
    with asked(lambda line: line.sendall(head(0))) as answer:
        assert answer.read_into(memoryview(bytearray(9))) == 0


@pytest.mark.parametrize("room", [7, 4 << 20])
def test_one_in_chunks_comes_too(room):
    def serve(line):
        line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(BODY), 30_000):
            piece = BODY[at : at + 30_000]
            line.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        line.sendall(b"0\r\n\r\n")

    with asked(serve) as answer:
        assert all_of(answer, room) == BODY


def test_one_of_no_length_ends_with_the_connection():
    with asked(lambda line: line.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)) as answer:
        assert all_of(answer, 20_000) == BODY


def test_one_that_is_reset_in_the_middle_is_told():
    begun = threading.Event()

    def serve(line):
        line.sendall(head(len(BODY)) + BODY[:20_000])
        begun.wait(60)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with asked(serve) as answer:
        begun.set()
        with pytest.raises(Unreachable, match="the answer of the peer broke off"):
            all_of(answer, 20_000)
