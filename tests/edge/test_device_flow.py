"""The device flow beside an issuer that says what it should not; and where logins are kept."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import keyring
import pytest
from keyring.backends import fail

from edge.cli import device_flow as flow
from edge.cli.client import AWAY, STRANGER, Told
from edge.cli.kept import Login, Logins
from tests.edge.ring import Locked, Ring

GOOD = {"token_type": "Bearer", "access_token": "a.b.c", "expires_in": 600}
PENDING = (400, {"error": "authorization_pending"})
BEGUN = {
    "device_code": "d" * 40,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://issuer.example/device",
    "expires_in": 600,
    "interval": 5,
}


class Scripted(BaseHTTPRequestHandler):
    """Gives the answers that were written for it, one after the other."""

    def do_GET(self):
        self._answer(200, self.server.described)

    def do_POST(self):
        self.server.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(*self.server.answers.pop(0))

    def _answer(self, status, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextmanager
def scripted():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    server.name = f"http://127.0.0.1:{server.server_port}"
    server.answers, server.asked = [], []
    server.described = {
        "issuer": server.name,
        "device_authorization_endpoint": f"{server.name}/device",
        "token_endpoint": f"{server.name}/token",
        "revocation_endpoint": f"{server.name}/revoke",
    }
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def issuer():
    with scripted() as server:
        yield server


@pytest.fixture
def line(issuer):
    return flow.Line(issuer.name)


def described(line, issuer):
    return flow.discovered(line, issuer.name, "sprout-cli")


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def waits(line, issuer, *answers):
    """Return the tokens, and how long was slept between the questions."""
    time, found = Time(), described(line, issuer)
    issuer.answers[:] = [(200, BEGUN), *answers]
    todo = flow.asked(line, found, "openid")
    tokens = flow.waited(line, found, todo, clock=lambda: time.now, sleep=time.sleep)
    return tokens, time.slept


def test_a_pending_login_is_asked_about_no_faster_than_the_issuer_wants(issuer, line):
    slow = (400, {"error": "slow_down"})

    tokens, slept = waits(line, issuer, PENDING, slow, PENDING, slow, (200, GOOD))

    assert tokens.access == "a.b.c"
    assert slept == [5, 5, 10, 10, 15]


def test_while_the_issuer_is_out_of_order_questions_come_twice_as_late(issuer, line):
    broken = [(503, {}), (502, b"<html>"), (429, {}), (302, {})]

    _, slept = waits(line, issuer, *broken, (200, GOOD))

    assert slept == [5, 10, 20, 40, 60]


def test_a_code_that_nobody_enters_ends(issuer, line):
    with pytest.raises(Told, match="in time") as caught:
        waits(line, issuer, *[PENDING] * 200)

    assert caught.value.status == STRANGER
    assert len(issuer.asked) == 120


ENDS = {
    "denied": ({"error": "access_denied"}, "denied there"),
    "expired": ({"error": "expired_token"}, "in time"),
    "unknown": ({"error": "x\x1b[2J", "error_description": "y" * 9999}, "x\\x1b[2J"),
    "no error": ({}, "no sense|makes sense"),
    "no object": ([1], "makes sense"),
    "no JSON": (b"\xff\xfe", "makes sense"),
    "deep": (b"[" * 100_000, "makes sense"),
}


@pytest.mark.parametrize(("answer", "said"), ENDS.values(), ids=ENDS)
def test_a_refusal_ends_the_login_and_is_told_in_part(issuer, line, answer, said, capsys):
    with pytest.raises(Told) as caught:
        waits(line, issuer, (400, answer))

    caught.value.show()
    told = capsys.readouterr().err
    assert any(each in told for each in said.split("|"))
    assert "\x1b" not in told
    assert len(told) < 600


NO_TOKENS = {
    "no type": {**GOOD, "token_type": None},
    "another type": {**GOOD, "token_type": "mac"},
    "none": {**GOOD, "access_token": None},
    "empty": {**GOOD, "access_token": ""},
    "a number": {**GOOD, "access_token": 7},
    "a header": {**GOOD, "access_token": "a\r\nX-Evil: b"},
    "a space": {**GOOD, "access_token": "a b"},
    "no ASCII": {**GOOD, "access_token": "\u00e9"},
    "huge": {**GOOD, "access_token": "a" * 20_000},
    "refresh": {**GOOD, "refresh_token": "a\nb"},
    "a list": {**GOOD, "refresh_token": ["a"]},
}


@pytest.mark.parametrize("answer", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_no_token_is_not_taken(issuer, line, answer):
    with pytest.raises(Told):
        waits(line, issuer, (200, answer))


@pytest.mark.parametrize(
    ("interval", "first"),
    [(None, 5), (0, 5), (-1, 5), ("1", 5), (True, 5), (1e300, 60), (0.01, 1), (7, 7)],
)
def test_the_interval_is_bounded(issuer, line, interval, first):
    issuer.answers[:] = [(200, {**BEGUN, "interval": interval})]

    assert flow.asked(line, described(line, issuer), "openid").interval_s == first


BAD_PAGES = {
    "clear": "http://issuer.example/device",
    "script": "javascript:alert(1)",
    "file": "file:///etc/passwd",
    "account": "https://issuer.example@evil.example/",
    "steering": "https://issuer.example/\x1b[2J",
    "broken": "https://[::1",
    "nothing": "",
    "number": 7,
}


@pytest.mark.parametrize("url", BAD_PAGES.values(), ids=BAD_PAGES)
def test_nobody_is_sent_to_a_page_that_cannot_be_trusted(issuer, line, url):
    found = described(line, issuer)
    issuer.answers[:] = [
        (200, {**BEGUN, "verification_uri": url}),
        (200, {**BEGUN, "verification_uri_complete": url}),
    ]

    with pytest.raises(Told):
        flow.asked(line, found, "openid")
    assert flow.asked(line, found, "openid").direct_url == ""


DESCRIBED = {
    "another issuer": {"issuer": "https://evil.example"},
    "no device flow": {"device_authorization_endpoint": None},
    "tokens in clear": {"token_endpoint": "http://issuer.example/token"},
    "tokens to a file": {"token_endpoint": "file:///dev/null"},
    "revocation in clear": {"revocation_endpoint": "http://issuer.example/revoke"},
    "no text": {"token_endpoint": ["https://x"]},
}


@pytest.mark.parametrize("change", DESCRIBED.values(), ids=DESCRIBED)
def test_an_issuer_that_describes_itself_oddly_is_not_believed(issuer, line, change):
    issuer.described |= change

    with pytest.raises(Told):
        described(line, issuer)


def test_no_redirect_of_an_issuer_is_followed(issuer, line):
    issuer.answers[:] = [(302, {})]

    with pytest.raises(Told, match="redirects") as caught:
        flow.asked(line, described(line, issuer), "openid")

    assert caught.value.status == AWAY


@pytest.mark.parametrize("name", ["http://issuer.example", "ftp://x", "", "//x", "https://a@b/"])
def test_an_issuer_is_spoken_to_by_https_alone_unless_it_is_here(name):
    with pytest.raises(Told, match="no https"):
        flow.Line(name)


def test_a_refresh_token_that_is_not_replaced_stays(issuer, line):
    found = described(line, issuer)
    issuer.answers[:] = [(200, GOOD), (200, {**GOOD, "refresh_token": "new"})]

    assert flow.refreshed(line, found, "old").refresh == "old"
    assert flow.refreshed(line, found, "old").refresh == "new"


@pytest.mark.parametrize(
    ("answer", "status"),
    [((400, {"error": "invalid_grant"}), STRANGER), ((503, {}), AWAY)],
    ids=["ended", "away"],
)
def test_a_login_that_cannot_be_renewed_says_whether_it_is_over(issuer, line, answer, status):
    issuer.answers[:] = [answer]

    with pytest.raises(Told) as caught:
        flow.refreshed(line, described(line, issuer), "old")

    assert caught.value.status == status


# --- kept ---

API = "https://sprout.example"


def login(access="a.b.c", until=None):
    issuer = flow.Issuer(
        name="https://i.example", client="c", device_endpoint="", token_endpoint=""
    )
    tokens = flow.Tokens(access=access, refresh="r", until=until)
    return Login(api=API, issuer=issuer, tokens=tokens)


@pytest.fixture
def ring(monkeypatch, tmp_path):
    monkeypatch.setenv("RING_FILE", str(tmp_path / "ring.json"))
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.mark.parametrize("backend", [Ring, Locked, fail.Keyring])
def test_a_login_is_found_again_wherever_it_is_kept(ring, tmp_path, backend):
    ring(backend())
    logins = Logins(tmp_path / "data")

    where = logins.keep(login())

    in_file = "a.b.c" in (tmp_path / "data" / "logins.json").read_text()
    assert in_file is (backend is not Ring) is ("logins.json" in where)
    assert logins.find(API) == login()
    assert logins.find("https://other.example") is None
    logins.forget(API)
    assert logins.find(API) is None


def test_a_token_that_left_the_keyring_asks_for_a_new_login(ring, tmp_path):
    ring(Ring())
    logins = Logins(tmp_path / "data")
    logins.keep(login())
    (tmp_path / "ring.json").unlink()

    with pytest.raises(Told, match="sprout login"):
        logins.find(API)


@pytest.mark.parametrize("text", ["", "[", "[]", "null", '{"%s": 7}', '{"%s": {"until": 1}}'])
def test_a_file_that_was_spoilt_is_told_of_or_holds_nobody(ring, tmp_path, text):
    ring(fail.Keyring())
    (tmp_path / "logins.json").write_text(text.replace("%s", API))

    try:
        found = Logins(tmp_path).find(API)
    except Told:
        found = None
    assert found is None


def test_a_fresh_token_is_not_renewed_and_an_old_one_once(ring, tmp_path):
    ring(fail.Keyring())
    logins, renewed = Logins(tmp_path), []

    def renew(found):
        renewed.append(found.tokens.access)
        return login("new").tokens

    logins.keep(login(until=None))
    assert logins.fresh(API, renew).tokens.access == "a.b.c"
    logins.keep(login("old", until=1.0))
    found = [logins.fresh(API, renew).tokens.access for _ in range(3)]
    assert (found, renewed) == (["new"] * 3, ["old"])


def test_who_logs_out_while_his_token_is_renewed_stays_logged_out(ring, tmp_path):
    ring(fail.Keyring())
    logins = Logins(tmp_path)
    leaving = threading.Thread(target=logins.forget, args=(API,))

    def renew(found):
        leaving.start()
        leaving.join(0.2)  # long enough to have written, if nothing held it back
        return login("new").tokens

    logins.keep(login("old", until=1.0))
    logins.fresh(API, renew)
    leaving.join()

    assert logins.find(API) is None


def test_no_secret_is_in_what_is_printed_of_a_login():
    assert "a.b.c" not in repr(login())
