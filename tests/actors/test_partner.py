"""What a partner may do to who asks it: drip, never end, break off; each ends, and in time."""

import itertools
import socket
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPResponse

import pytest

from actors.drivers import reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Unreachable
from actors.drivers.partner import Partner

RULES = replace(reach.integration(["127.0.0.0/8"]), total_s=60.0)
SHORT = replace(RULES, total_s=0.5)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(*pieces):
    """A server that sends *pieces* to whoever asks, a moment apart; its URL."""

    def serve(listening):
        with suppress(OSError), closing(listening.accept()[0]) as line:
            line.recv(1 << 16)
            for piece in itertools.chain(*pieces):
                line.sendall(piece)
                threading.Event().wait(0.01)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def get(url, rules=RULES):
    return Partner(rules, Deadline.after(3600)).get(url, {}, most_bytes=1000)


@pytest.mark.parametrize(
    "pieces",
    [
        ([CHUNKED, b"2\r\n{}\r\n0\r\n"], itertools.repeat(b"X: y\r\n")),
        ([CHUNKED], itertools.repeat(b"0")),
        ([HEAD, b"Content-Length: 900\r\n\r\n"], itertools.repeat(b"x", 900)),
    ],
    ids=["trailers without end", "a chunk's size without end", "a body that drips"],
)
def test_a_partner_that_never_ends_is_left_when_the_time_is_over(pieces):
    with answering(*pieces) as url, pytest.raises(Unreachable, match="no whole answer in time"):
        get(url, SHORT)


def test_a_partner_that_has_not_begun_to_answer_when_the_time_is_over_is_told_as_late():
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"

        with pytest.raises(Unreachable, match="no whole answer in time"):
            get(url, SHORT)


def test_a_line_that_is_reset_when_it_is_hung_up_on_is_told_as_late(monkeypatch):
    def reset(_response, _most):
        over = Deadline.after(SHORT.total_s)
        while over.left:
            threading.Event().wait(over.left)
        raise ConnectionResetError

    monkeypatch.setattr(HTTPResponse, "read1", reset)

    with answering([CHUNKED]) as url, pytest.raises(Unreachable, match="no whole answer in time"):
        get(url, SHORT)


def test_a_body_that_breaks_off_is_no_answer_and_may_be_asked_for_again():
    with (
        answering([HEAD, b'Content-Length: 20\r\n\r\n{"machines": []}']) as url,
        pytest.raises(Unreachable, match="broke off") as caught,
    ):
        get(url)

    assert caught.value.retryable


def test_a_body_without_a_length_ends_with_its_connection():
    with answering([HEAD, b"\r\n{}"]) as url:
        assert get(url).body == b"{}"
