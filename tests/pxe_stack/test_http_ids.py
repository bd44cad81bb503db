"""The id of a request: in its answer, whatever that is, and in the log lines about it."""

import json
import re
import socket

import pytest
import structlog
from flask import Flask

from models import bootplan
from models.bootplan import Access
from pxe_stack import boot_files, http
from pxe_stack.http_loop import Limits
from tests.pxe_stack import make, web

PLAN = make.plan(addressing=web.HERE)
SCRIPT = bootplan.url(PLAN, make.KEY, Access.SCRIPT, "script").removeprefix(make.URL)
DONE = bootplan.url(PLAN, make.KEY, Access.CALLBACK, "installed").removeprefix(make.URL)
ID = re.compile(rb"\r\nX-Request-Id: ([^\r]*)\r\n")
MADE = re.compile(rb"[0-9a-f]{32}")


@pytest.fixture(params=["together", "alone"])
def boot(request, tmp_path):
    """With its files' process, and without it."""
    services = () if request.param == "together" else ("http",)
    with web.serving(tmp_path, *services) as made:
        made.put_file("os/big", bytes(10_000))
        (tmp_path / "snponly.efi").write_bytes(b"MZ" * 1000)
        yield made


GOT = {
    "200 of a script": (SCRIPT, 200),
    "200 of a file": ("/artifacts/os/big", 200),
    "200 of a loader": ("/loaders/snponly.efi", 200),
    "404 of a route": ("/nothing", 404),
    "404 of a file": ("/artifacts/nothing", 404),
    "404 of metadata": ("/latest/meta-data/x", 404),
    "health": ("/healthz", 200),
}


@pytest.mark.parametrize("name", GOT)
def test_each_answer_bears_the_id_that_its_request_came_with(boot, name):
    path, status = GOT[name]

    came = boot.get(path, "X-Request-Id: node-01:7.a_b-c")

    assert came.startswith(b"HTTP/1.1 %d " % status)
    assert ID.findall(came) == [b"node-01:7.a_b-c"]


@pytest.mark.parametrize("name", GOT)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_one_is_made_where_none_came(boot, name, method):
    path, status = GOT[name]

    came = boot.tell(f"{method} {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n".encode())

    [made] = ID.findall(came)
    assert came.startswith(b"HTTP/1.1 %d " % status)
    assert MADE.fullmatch(made)


@pytest.mark.parametrize("bad", ["", "-x", "a b", "a" * 65, "{}", "\x7f", "\xe9"])
def test_one_that_is_not_well_formed_is_not_repeated(boot, bad):
    came = boot.tell(
        f"GET /healthz HTTP/1.1\r\nHost: s\r\nConnection: close\r\nX-Request-Id: {bad}\r\n\r\n"
        "".encode("latin-1")
    )

    assert MADE.fullmatch(ID.findall(came)[0])


def test_each_request_of_a_connection_has_its_own(boot):
    one = "GET {} HTTP/1.1\r\nHost: s\r\n{}\r\n"
    asked = [("/healthz", "X-Request-Id: a\r\n"), ("/artifacts/os/big", ""), ("/healthz", "")]

    came = boot.tell("".join(one.format(*each) for each in asked).encode())

    first, second, third = ID.findall(came)
    assert first == b"a"
    assert len({first, second, third}) == 3


REFUSED = {
    400: b"GET /x HTTP/1.1\r\n\r\n",
    405: b"PUT /healthz HTTP/1.1\r\nHost: s\r\n\r\n",
    413: b"POST /boot/a/b/started HTTP/1.1\r\nHost: s\r\nContent-Length: 99999999\r\n\r\n",
    414: b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: s\r\n\r\n",
    416: b"GET /artifacts/os/big HTTP/1.1\r\nHost: s\r\nRange: bytes=99999-\r\n\r\n",
    431: b"GET / HTTP/1.1\r\nHost: s\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    501: b"POST /x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: gzip\r\n\r\n",
    505: b"GET / HTTP/2.0\r\nHost: s\r\n\r\n",
}


@pytest.mark.parametrize("status", REFUSED)
def test_what_is_refused_has_one_too(boot, status):
    came = boot.tell(REFUSED[status])

    assert came.startswith(b"HTTP/1.1 %d " % status)
    assert len(ID.findall(came)) == 1


def test_who_finds_no_place_has_one_too(tmp_path):
    with (
        web.serving(tmp_path, limits=Limits(per_client=1)) as boot,
        boot.connect() as first,
        boot.connect() as second,
    ):
        first.settimeout(60)
        came = web.everything(second)

    assert came.startswith(b"HTTP/1.1 503 ")
    assert MADE.fullmatch(ID.findall(came)[0])


def test_a_failure_is_logged_by_the_id_that_its_answer_bears(boot, capsys, monkeypatch):
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()]
    )
    monkeypatch.setattr(boot_files, "text", None)  # what is called for it is not there
    came = boot.get("/loaders/snponly.efi", "X-Request-Id: one-7")
    structlog.reset_defaults()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    assert came.startswith(b"HTTP/1.1 500 ")
    assert ID.findall(came) == [b"one-7"]
    assert ("http.failed", "one-7") in {(line["event"], line.get("request_id")) for line in lines}


def test_a_stranger_is_logged_by_the_id_of_the_request(boot, capsys):
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()]
    )
    boot.tell(
        f"GET {SCRIPT} HTTP/1.1\r\nHost: s\r\nX-Request-Id: two-8\r\n\r\n".encode(), "127.0.0.9"
    )
    structlog.reset_defaults()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    assert [line["request_id"] for line in lines if line["event"] == "http.stranger"] == ["two-8"]


def test_the_blueprint_answers_with_it_too(tmp_path):
    with web.serving(tmp_path) as boot:
        app = http.app(web.sources(boot.stores, tmp_path))
        client = Flask.test_client(app)
        asked = client.get("/healthz", headers={"X-Request-Id": "r-1"})
        lost = client.get("/nothing")
        large = client.post(DONE, data=b"x" * 100_000)

    assert asked.headers["X-Request-Id"] == "r-1"
    assert [lost.status_code, large.status_code] == [404, 413]
    assert all(re.fullmatch("[0-9a-f]{32}", each.headers["X-Request-Id"]) for each in (lost, large))


def test_a_connection_that_says_nothing_is_answered_nothing(boot):
    with socket.create_connection(("127.0.0.1", boot.port), 10) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert web.everything(sock) == b""
