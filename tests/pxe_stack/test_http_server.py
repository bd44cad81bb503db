"""Boot HTTP over real sockets: connections kept, handed over, bounded, cut and attacked."""

import re
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from models import bootplan
from models.bootplan import Access
from models.observations import Seen
from pxe_stack.http_loop import Limits
from pxe_stack.store import JOURNAL, JournalStore
from tests.pxe_stack import make, web
from tests.pxe_stack.lab import until

BIG = bytes(range(256)) * 40_000
PLAN = make.plan(addressing=web.HERE)
SCRIPT = bootplan.url(PLAN, make.KEY, Access.SCRIPT, "script").removeprefix(make.URL)
DONE = bootplan.url(PLAN, make.KEY, Access.CALLBACK, "installed").removeprefix(make.URL)
STARTED = bootplan.url(PLAN, make.KEY, Access.CALLBACK, "started").removeprefix(make.URL)


def asking(method, path, *fields, body=b""):
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: s", *fields, "", "")).encode() + body


@pytest.fixture(params=["together", "alone"])
def boot(request, tmp_path):
    """With its files' process, and without it."""
    services = () if request.param == "together" else ("http",)
    with web.serving(tmp_path, *services) as made:
        made.put_file("os/big", BIG)
        (tmp_path / "snponly.efi").write_bytes(b"MZ" * 100_000)
        yield made


def statuses(data):
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3})", data)]


def body(data):
    return data.partition(b"\r\n\r\n")[2]


def test_scripts_and_files_are_served_over_one_connection_in_turn(boot):
    paths = ["/healthz", "/artifacts/os/big", SCRIPT, "/loaders/snponly.efi", "/healthz"]

    came = boot.tell(b"".join(asking("GET", path) for path in paths))

    assert statuses(came) == [200] * 5
    assert BIG in came
    assert came.endswith(b"\r\n\r\nok\n")
    assert b"#!ipxe" in came


def test_a_range_is_sent_from_where_it_begins(boot):
    came = boot.get("/artifacts/os/big", "Range: bytes=1000000-1999999")

    assert statuses(came) == [206]
    assert body(came) == BIG[1_000_000:2_000_000]


def test_head_has_the_fields_of_get_and_no_body(boot):
    for path in ("/artifacts/os/big", SCRIPT, "/loaders/snponly.efi", "/nothing"):
        told = boot.tell(asking("HEAD", path, "Connection: close"))
        got = boot.get(path)
        length = re.compile(rb"Content-Length: (\d+)")

        assert body(told) == b""
        assert length.search(told)[1] == length.search(got)[1]
        assert int(length.search(got)[1]) == len(body(got))


def test_a_callback_comes_with_a_length_or_in_chunks(boot):
    plain = asking("POST", STARTED, "Content-Length: 6", body=b"disk=a")
    chunked = asking("POST", DONE, "Transfer-Encoding: chunked", body=b"6\r\ndisk=b\r\n0\r\n\r\n")

    came = boot.tell(plain + chunked)

    assert statuses(came) == [200, 200]
    assert [row.data["disk"] for row in boot.rows(Seen.INSTALL_STARTED)] == ["a"]
    assert [row.data["disk"] for row in boot.rows(Seen.INSTALLED)] == ["b"]


def test_who_expects_it_is_told_to_go_on(boot):
    with boot.connect() as sock:
        sock.sendall(asking("POST", DONE, "Content-Length: 3", "Expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"a=b")

        assert statuses(sock.recv(1000)) == [200]


SMUGGLED = asking("GET", "/healthz")
ATTACKS = {
    "both-framings": asking(
        "POST", DONE, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "two-lengths": asking("POST", DONE, "Content-Length: 0", "Content-Length: 9"),
    "bad-chunk": asking("POST", DONE, "Transfer-Encoding: chunked", body=b"zz\r\n"),
    "bare-lf": b"GET /healthz HTTP/1.1\nHost: s\n\n\r\n\r\n",
    "folded": asking("GET", "/healthz", "A: b", " c"),
    "nul": b"GET /healthz\0 HTTP/1.1\r\nHost: s\r\n\r\n",
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300 + b"\r\n\r\n",
    "huge-body": asking("POST", DONE, "Content-Length: 999999999"),
    "huge-fields": asking("GET", "/healthz", "A: " + "b" * 9000),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_refused_request_ends_its_connection_and_nothing_behind_it_is_read(boot, attack):
    came = boot.tell(ATTACKS[attack] + SMUGGLED)

    assert len(statuses(came)) == 1
    assert statuses(came)[0] >= 400
    assert b"Connection: close" in came
    assert statuses(boot.get("/healthz")) == [200]
    assert not boot.rows(Seen.INSTALLED)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"])
def test_other_methods_are_refused_by_name(boot, method):
    came = boot.tell(asking(method, "/healthz", "Connection: close"))

    assert statuses(came) == [405]
    assert b"Allow: GET, HEAD" in came


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts/../../etc/passwd",
        "/artifacts/%2e%2e/%2e%2e/etc/passwd",
        "/artifacts/os/big/",
        "/artifacts//os/big",
        "/artifacts/",
        "/artifacts",
        "/loaders/../big",
        "/",
        "//healthz",
        "/healthz/x",
        "/boot/a/b/",
    ],
)
def test_only_names_of_the_closed_table_are_there(boot, path):
    assert statuses(boot.get(path)) == [404]


def test_an_aborted_download_is_told_with_what_left(boot):
    with boot.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(asking("GET", "/artifacts/os/big"))
        sock.recv(1000)

    until(lambda: boot.rows(Seen.ARTIFACT_SERVED))
    [row] = boot.rows(Seen.ARTIFACT_SERVED)
    assert 0 < row.data["bytes"] < len(BIG)
    assert not row.data["whole"]


def test_a_whole_download_is_one_row(boot):
    boot.get("/artifacts/os/big")

    until(lambda: boot.rows(Seen.ARTIFACT_SERVED))
    [row] = boot.rows(Seen.ARTIFACT_SERVED)
    assert (row.data["bytes"], row.data["whole"], row.mac) == (len(BIG), True, make.MAC)


@pytest.fixture
def hasty(tmp_path):
    """A server whose patience is short."""
    with web.serving(tmp_path, limits=Limits(patience=web.QUICK)) as made:
        made.put_file("os/big", BIG * 4)
        yield made


@pytest.fixture
def narrow(tmp_path):
    """A server whose places are few."""
    with web.serving(tmp_path, limits=Limits(per_client=4, total=12)) as made:
        yield made


@contextmanager
def dripping(sock):
    """Say a byte now and then on *sock*, for the block or until that is hung up."""
    over = threading.Event()

    def drip():
        with suppress(OSError):
            while not over.wait(0.1):
                sock.send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_who_never_ends_a_head_is_left_and_one_more_byte_buys_no_time(hasty):
    with hasty.connect() as sock:
        sock.sendall(b"GET /")
        with dripping(sock):
            try:
                came = web.everything(sock)
            except ConnectionResetError:  # a byte came as it was hung up
                came = b""

    assert came == b""


@pytest.mark.parametrize("said", [b"", asking("POST", DONE, "Content-Length: 9", body=b"a=")])
def test_who_says_nothing_or_half_is_left(hasty, said):
    with hasty.connect() as sock:
        sock.sendall(said)

        assert web.everything(sock) == b""


def test_who_takes_nothing_is_left(hasty):
    with hasty.connect() as sock:
        sock.sendall(asking("GET", "/artifacts/os/big"))
        until(lambda: hasty.rows(Seen.ARTIFACT_SERVED))

    assert hasty.rows(Seen.ARTIFACT_SERVED)[0].data["bytes"] < len(BIG) * 4


def test_one_client_has_but_its_places(narrow):
    held = [narrow.connect("127.0.0.2") for _ in range(4)]

    with narrow.connect("127.0.0.2") as fifth:
        assert statuses(fifth.recv(1000)) == [503]
    assert statuses(narrow.get("/healthz")) == [200]
    for sock in held:
        sock.close()


def test_when_all_places_are_taken_the_oldest_that_waits_makes_room(narrow):
    held = [narrow.connect(f"127.0.1.{number // 4}") for number in range(60)]

    assert statuses(narrow.get("/healthz")) == [200]
    assert statuses(narrow.tell(asking("GET", SCRIPT, "Connection: close"))) == [200]
    for sock in held:
        sock.close()


def test_who_had_to_make_room_is_counted(tmp_path):
    with web.serving(tmp_path, "http", limits=Limits(per_client=4, total=12)) as boot:
        held = [boot.connect(f"127.0.1.{number // 4}") for number in range(60)]
        assert statuses(boot.get("/healthz")) == [200]
        for sock in held:
            sock.close()

    journal = JournalStore(tmp_path / JOURNAL)
    assert journal.counters()["http made-room"] == 60 + 1 - 12
    journal.close()


def test_a_thousand_slow_downloads_hold_up_no_script(tmp_path):
    with web.serving(tmp_path, limits=Limits(per_client=1200)) as boot:
        boot.put_file("os/big", BIG)
        slow = [boot.connect() for _ in range(1000)]
        for sock in slow:
            sock.sendall(asking("GET", "/artifacts/os/big"))
        for sock in slow:
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        came = [boot.get(SCRIPT) for _ in range(20)]

        assert all(statuses(each) == [200] for each in came)
        for sock in slow:
            sock.close()


def test_what_was_asked_at_once_is_answered_after_one_transaction(boot):
    socks = [boot.connect() for _ in range(40)]
    for sock in socks:
        sock.sendall(asking("POST", STARTED, "Content-Length: 0", "Connection: close"))

    assert [statuses(web.everything(sock)) for sock in socks] == [[200]] * 40
    assert len(boot.rows(Seen.INSTALL_STARTED)) == 40
    for sock in socks:
        sock.close()
