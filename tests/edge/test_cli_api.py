"""The command line beside an API that is not what it should be."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge.cli.client import AWAY, REFUSED, STRANGER, Api, Told


class Odd(BaseHTTPRequestHandler):
    """Answers everything alike, and notes who was shown to it."""

    def do_GET(self):
        status, headers, body = self.server.answer
        self.server.shown.append(self.headers.get("Authorization"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def odd():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.daemon_threads = True
    server.shown = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def asked(odd, status, body=b"{}", **headers):
    """Return what is told of an answer."""
    odd.answer = status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Told) as caught:
        Api(f"http://127.0.0.1:{odd.server_port}", "t-1").post("/v1/sites", {})
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_and_where_it_leads_is_told(odd, status):
    told = asked(odd, status, Location="https://elsewhere.example/\x1b[2J")

    assert told.status == AWAY
    assert "https://elsewhere.example/\\x1b[2J" in told.message
    assert "SPROUT_API_URL" in told.message
    assert len(odd.shown) == 1


def test_the_token_is_shown_and_no_netrc_entry_in_its_place(odd, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password hunter22\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    odd.answer = 200, {}, b"{}"

    Api(f"http://127.0.0.1:{odd.server_port}", "t-1").get("/v1/sites")
    Api(f"http://127.0.0.1:{odd.server_port}", "").get("/v1/sites")

    assert odd.shown == ["Bearer t-1", None]


EVIL = "no\nsprout: allowed\x1b[2J"
ANSWERS = {
    "a problem": (403, {"detail": EVIL, "errors": [{"pointer": EVIL, "hint": EVIL}]}, STRANGER),
    "a list": (404, [EVIL], REFUSED),
    "no JSON": (500, EVIL.encode() * 1000, AWAY),
    "a number": (409, 7, REFUSED),
    "odd errors": (422, {"detail": "no", "errors": [7]}, REFUSED),
    "no bytes": (400, b"", REFUSED),
}


@pytest.mark.parametrize(("status", "body", "code"), ANSWERS.values(), ids=ANSWERS)
def test_a_refusal_is_told_on_lines_of_our_own(odd, status, body, code):
    told = asked(odd, status, body)

    assert told.status == code
    assert "\x1b" not in told.message
    assert not [line for line in told.message.splitlines() if line.startswith("sprout")]
    assert len(told.message) < 1000


def test_an_answer_that_is_no_json_is_told_and_ends_in_no_trace(odd):
    told = asked(odd, 200, b"<html>")

    assert told.status == AWAY
    assert "makes no sense" in told.message


def test_a_file_that_breaks_off_is_no_whole_file(odd):
    odd.answer = 200, {"Content-Length": "9"}, b"half"

    with pytest.raises(Told, match="broke off"):
        list(Api(f"http://127.0.0.1:{odd.server_port}", "t-1").content("/v1/x"))
