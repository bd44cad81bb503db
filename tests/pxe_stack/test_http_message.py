"""Requests as bytes: what is read, what waits for more, and what is refused with which status."""

import pytest

from pxe_stack import http_message
from pxe_stack.http_message import MOST_HEAD, Refused

HOST = b"Host: s\r\n"


def read(data):
    return http_message.head(data)


def refused(data):
    with pytest.raises(Refused) as caught:
        read(data)
    return caught.value.status.value


def test_a_request_is_read_with_its_length():
    found, length = read(b"GET /a%20b?c=d HTTP/1.1\r\n" + HOST + b"X-A: 1\r\nx-a:2 \r\n\r\nmore")

    assert (found.request.method, found.request.path, found.request.query) == ("GET", "/a b", "c=d")
    assert found.request.fields == {"host": "s", "x-a": "1, 2"}
    assert (found.keep, found.has_body, length) == (True, False, 52)


@pytest.mark.parametrize("cut", range(1, 40))
def test_whatever_is_missing_at_the_end_is_waited_for(cut):
    assert read((b"GET / HTTP/1.1\r\n" + HOST + b"Accept: */*\r\n\r\n")[:-cut]) is None


def test_an_absolute_uri_means_its_path():
    assert read(b"GET http://s:8081/ipxe/x?y HTTP/1.1\r\n" + HOST + b"\r\n")[0].request.path == (
        "/ipxe/x"
    )
    assert read(b"GET http://s HTTP/1.1\r\n" + HOST + b"\r\n")[0].request.path == "/"


@pytest.mark.parametrize(
    ("line", "said", "keeps"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: Close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", True),
        (b"GET / HTTP/1.9", b"", True),
    ],
)
def test_a_connection_is_kept_as_its_version_and_its_fields_say(line, said, keeps):
    assert read(line + b"\r\n" + HOST + said + b"\r\n")[0].keep is keeps


REFUSED = {
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two-hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "bare-lf": (b"GET / HTTP/1.1\nHost: s\n\n\r\n\r\n", 400),
    "lf-in-a-field": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\nC: d\r\n\r\n", 400),
    "folded": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n", 400),
    "space-before-colon": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 3\r\n\r\nabc", 400),
    "nul-in-a-field": (b"GET / HTTP/1.1\r\n" + HOST + b"A: \0\r\n\r\n", 400),
    "nul-in-the-path": (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no-utf-8": (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "raw-nul": (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no-path": (b"GET passwd HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "other-scheme": (b"GET ftp://s/a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "user-in-the-uri": (b"GET http://u@s/a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two-spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "http-0.9": (b"GET /\r\n\r\n", 400),
    "http-2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "long-uri": (b"GET /" + b"a" * 2048 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "endless-line": (b"GET /" + b"a" * MOST_HEAD, 414),
    "endless-fields": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1400, 431),
    "many-fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 64 + b"\r\n", 431),
    "both-framings": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "two-lengths": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        400,
    ),
    "listed-lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\n", 400),
    "signed-length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\n", 400),
    "hex-length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n\r\n", 400),
    "other-digits": (
        b"POST / HTTP/1.1\r\n" + HOST + "Content-Length: ٣\r\n\r\n".encode(),
        400,
    ),
    "chunked-in-1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    "other-coding": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    "hidden-coding": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
        400,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_two_readers_could_understand_differently_is_refused(case):
    data, status = REFUSED[case]

    assert refused(data) == status


def test_one_empty_line_before_a_request_is_ignored():
    assert read(b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")[0].request.path == "/"


CHUNKED = b"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\n\r\n"


def test_chunks_are_joined():
    assert http_message.chunks(CHUNKED + b"GET", 100) == (b"abcdefg", len(CHUNKED))


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
def test_chunks_that_are_not_all_here_are_waited_for(cut):
    assert http_message.chunks(CHUNKED[:cut], 100) is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"g\r\n", 400),
        (b"-1\r\n", 400),
        (b"0x3\r\n", 400),
        (b"3\r\nabcd\r\n", 400),
        (b"3 \r\nabc\r\n0\r\nTrailer: x\r\n\r\n", 400),
        (b"a" * 200, 400),
        (b"65\r\n", 413),
        (b"ffffffff\r\n", 413),
        (b"1\r\na\r\n" * 101, 413),
    ],
)
def test_chunks_that_are_none_or_too_many_are_refused(data, status):
    with pytest.raises(Refused) as caught:
        http_message.chunks(data, 100)

    assert caught.value.status.value == status
