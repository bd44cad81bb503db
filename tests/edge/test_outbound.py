"""What is asked of the issuer goes where it may, and comes back bounded."""

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from edge import outbound

EACH_S = 0.02
"""Seconds between two bytes that drip."""


class Hostile(BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    def do_GET(self):
        getattr(self, self.path.strip("/"))()

    def redirect(self):
        self.send_response(302)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        self.end_headers()

    def large(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (outbound.MOST_BYTES + 1))

    def drip(self):
        self.send_response(200)
        self.end_headers()
        while not self.server.over.wait(EACH_S):
            self.wfile.write(b"x")
            self.wfile.flush()

    def drip_headers(self):
        while not self.server.over.wait(EACH_S):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n"[:1])
            self.wfile.flush()

    def good(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"seen": "%s"}' % self.headers.get("Cookie", "").encode())

    def log_message(self, *_):
        pass


@contextmanager
def hostile():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    server.over = threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def issuer():
    with hostile() as url:
        yield url


def session(issuer):
    made = requests.Session()
    outbound.guard(made, issuer)
    return made


def test_an_ordinary_answer_comes_through(issuer):
    assert session(issuer).get(f"{issuer}/good").json() == {"seen": ""}


def test_no_redirect_is_followed(issuer):
    with pytest.raises(outbound.NotAllowed, match="redirects"):
        session(issuer).get(f"{issuer}/redirect")


def test_a_large_answer_is_not_read(issuer):
    with pytest.raises(outbound.NotAllowed, match="bytes"):
        session(issuer).get(f"{issuer}/large")


@pytest.mark.parametrize("path", ["drip", "drip_headers"])
def test_an_answer_that_drips_for_ever_is_ended(issuer, path, monkeypatch):
    monkeypatch.setattr(outbound, "TOTAL_S", 0.5)

    with pytest.raises(requests.RequestException):
        session(issuer).get(f"{issuer}/{path}")


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "100.100.100.200"])
@pytest.mark.parametrize("at", ["https://issuer.example", "http://127.0.0.1:1"])
def test_metadata_services_are_never_asked(host, at):
    scheme = at.partition(":")[0]
    with pytest.raises(outbound.NotAllowed, match="metadata"):
        session(at).get(f"{scheme}://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0.0.0.0", "169.254.1.1", "224.0.0.1"])
def test_an_issuer_elsewhere_leads_to_nothing_near(host):
    with pytest.raises(outbound.NotAllowed, match="ordinary"):
        session("https://192.0.2.7").get(f"https://{host}:1/")


def test_nothing_is_sent_in_clear_to_an_issuer_by_https():
    with pytest.raises(outbound.NotAllowed, match="https"):
        session("https://192.0.2.7").get("http://192.0.2.7/")


def test_the_address_that_was_judged_is_the_one_connected_to(issuer, monkeypatch):
    port, asked = int(issuer.rpartition(":")[2]), []
    real = socket.getaddrinfo

    def rebinding(host, *more, **how):
        if host != "issuer.example":
            return real(host, *more, **how)
        asked.append(host)
        good = len(asked) == 1
        where = ("127.0.0.1" if good else "169.254.169.254", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where)]

    guarded = session(issuer)
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    assert guarded.get(f"http://issuer.example:{port}/good").ok
    assert asked == ["issuer.example"]
    with pytest.raises(outbound.NotAllowed, match="metadata"):
        guarded.get(f"http://issuer.example:{port}/good")


def test_no_proxy_and_no_netrc_of_the_environment_is_asked(issuer, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    assert session(issuer).get(f"{issuer}/good").ok
