"""Where calls may go, and how long and how large an answer may be."""

import gzip
import socket
import threading
from ipaddress import ip_address, ip_network

import pytest
import requests

from actors.drivers import reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotAllowed
from actors.drivers.outbound import Caller
from actors.drivers.reach import Rules
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import on

LOOPBACK = (ip_network("127.0.0.0/8"),)
PATH = "/there"


@pytest.fixture
def peer():
    with hostile_bmc.running() as running:
        yield running


def get(url, *, method="GET", path=PATH, seconds=60.0, calls=None, **rules):
    allowed = Rules(**{"networks": LOOPBACK} | rules)
    seen = (calls if calls is not None else []).append
    caller = Caller(url, allowed, Deadline.after(seconds), seen=seen)
    try:
        return caller.request(method, url + path, json=None, headers={}, verify=True)
    finally:
        caller.close()


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "100.100.100.200",
        "fd00:ec2::254",
        "169.254.170.23",
        "fd20:ce::254",
    ],
)
def test_a_metadata_service_is_never_asked_whatever_the_networks_say(address):
    everything = Rules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))

    with pytest.raises(NotAllowed, match="metadata"):
        everything.judge(ip_address(address))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.1.1", "fe80::1", "224.0.0.1", "::"]
)
def test_an_address_that_is_not_ordinary_is_refused_unless_its_network_is_named(address):
    with pytest.raises(NotAllowed, match="no ordinary address"):
        Rules().judge(ip_address(address))


def test_an_ordinary_address_is_allowed_where_no_network_is_named():
    Rules().judge(ip_address("10.1.2.3"))


def test_an_address_outside_the_named_networks_is_refused():
    with pytest.raises(NotAllowed, match="outside"):
        Rules(networks=LOOPBACK).judge(ip_address("10.1.2.3"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://10.0.0.1",
        "file:///etc/passwd",
        "10.0.0.1",
        "http://",
        "http://u:p@10.0.0.1",
        "http://h:x",
    ],
)
def test_only_a_plain_web_url_is_taken(url):
    with pytest.raises(NotAllowed):
        reach.origin(url)


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("10.0.0.5", "https://10.0.0.5:443"),
        ("bmc.example:8443", "https://bmc.example:8443"),
        ("2001:db8::5", "https://[2001:db8::5]:443"),
        ("http://10.0.0.5/redfish/v1", "http://10.0.0.5:80"),
    ],
)
def test_a_bmc_address_without_a_scheme_means_https(address, base):
    assert reach.base_url(address) == base


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bmc.example", "HTTPS://BMC.Example.:443"),
        ("2001:db8::5", "https://[2001:DB8:0::5]"),
        ("10.0.0.5", "ipmi://10.0.0.5:623"),
        ("http://10.0.0.5:8001", "10.0.0.5:8001"),
    ],
)
def test_a_bmc_has_one_name_however_its_address_is_written(one, other):
    assert reach.board(one) == reach.board(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("10.0.0.5", "10.0.0.6"), ("10.0.0.5:8001", "10.0.0.5:8002"), ("ftp://x", "ftp://y")],
)
def test_other_bmcs_have_other_names(one, other):
    assert reach.board(one) != reach.board(other)


def test_an_answer_is_returned_with_its_body(peer):
    peer.faults.append(on("GET", PATH, lambda handler: handler.answer(200, {"so": "it is"})))

    assert get(peer.url).json() == {"so": "it is"}


def test_nothing_is_sent_to_an_address_that_is_not_allowed(peer):
    with pytest.raises(NotAllowed):
        get(peer.url, networks=(ip_network("10.0.0.0/8"),))

    assert peer.requests == []


def test_a_name_is_judged_by_every_address_it_has(peer):
    port = peer.url.rpartition(":")[2]

    with pytest.raises(NotAllowed):
        get(f"http://localhost:{port}", networks=(ip_network("10.0.0.0/8"),))

    assert peer.requests == []


def test_a_name_that_changes_its_address_is_connected_to_where_it_was_judged(peer, monkeypatch):
    real, port = socket.getaddrinfo, int(peer.url.rpartition(":")[2])
    answers = iter(["127.0.0.1", "169.254.169.254"])

    def rebinding(host, *args, **kwargs):
        return real(next(answers) if host == "bmc.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    peer.faults.append(on("GET", PATH, lambda handler: handler.answer(200, {})))

    assert get(f"http://bmc.example:{port}").status_code == 200


def redirect(status, target):
    return lambda handler: handler.answer(status, {}, Location=target)


def test_a_redirect_on_the_same_host_is_followed(peer):
    peer.faults.append(on("GET", PATH, redirect(301, f"{PATH}/")))
    peer.faults.append(on("GET", f"{PATH}/", lambda handler: handler.answer(200, {"at": "last"})))

    assert get(peer.url).json() == {"at": "last"}


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest",
        "//evil.example/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:9/",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(peer, target):
    peer.faults.append(on("GET", PATH, redirect(302, target)))

    with pytest.raises(NotAllowed):
        get(peer.url)


def test_a_write_is_not_turned_into_a_read_by_a_redirect(peer):
    peer.faults.append(on("POST", PATH, redirect(303, "/else")))

    with pytest.raises(NotAllowed, match="as if it were a read"):
        get(peer.url, method="POST")

    assert peer.requests == [("POST", PATH)]


def test_redirects_come_to_an_end(peer):
    peer.faults.append(on("GET", PATH, redirect(302, PATH)))

    with pytest.raises(requests.TooManyRedirects):
        get(peer.url)

    assert len(peer.requests) == 4


def test_an_answer_over_the_limit_is_dropped(peer):
    peer.faults.append(on("GET", PATH, lambda handler: handler.raw(200, b"x" * 5000)))

    with pytest.raises(NotAllowed, match="over 4096 bytes"):
        get(peer.url, most_bytes=4096)


def test_an_answer_that_unpacks_over_the_limit_is_dropped(peer):
    bomb = gzip.compress(b"\0" * 1_000_000)
    packed = on("GET", PATH, lambda handler: handler.raw(200, bomb, Content_Encoding="gzip"))
    peer.faults.append(packed)

    with pytest.raises(NotAllowed, match="over 4096 bytes"):
        get(peer.url, most_bytes=4096)


def drip(handler, first=b""):
    tick = threading.Event()
    handler.wfile.write(first)
    try:
        while True:
            handler.wfile.write(b"x")
            tick.wait(0.02)
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: ", b""],
    ids=["body", "header", "status-line"],
)
def test_a_peer_that_drips_for_ever_is_left_when_the_time_is_over(peer, first):
    peer.faults.append(on("GET", PATH, lambda handler: drip(handler, first)))

    with pytest.raises(requests.Timeout):
        get(peer.url, total_s=0.3)


def test_the_deadline_of_the_task_bounds_each_call(peer):
    peer.faults.append(on("GET", PATH, drip))

    with pytest.raises(requests.Timeout):
        get(peer.url, seconds=0.2)


def test_a_body_that_breaks_off_is_no_answer(peer):
    def cut(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    peer.faults.append(on("GET", PATH, cut))

    with pytest.raises(requests.ConnectionError):
        get(peer.url)


def test_an_exchange_without_an_answer_is_told_of_too():
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(requests.ConnectionError):
        get(f"http://127.0.0.1:{port}", calls=calls)

    assert [(call.method, call.path, call.status) for call in calls] == [("GET", PATH, 0)]
