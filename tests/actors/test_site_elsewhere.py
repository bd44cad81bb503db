"""Artifacts whose base URL is another server's: fetched once, checked, kept, and told of."""

import hashlib
import os
import socket
import ssl
import threading
import time
from dataclasses import replace
from ipaddress import ip_address
from uuid import uuid4

import pytest

from actors.drivers import bulk, elsewhere, reach
from actors.drivers.edge_line import Edge
from actors.drivers.elsewhere import Elsewhere
from actors.drivers.errors import NotAllowed
from actors.site import admission, apart, cache, download, pace, waits
from actors.site.artifacts import Artifacts, Fetching, Unfetched, Unservable
from actors.site.cache import Cache
from actors.site.desk import Desk
from actors.site.store import AgentStore, Links
from actors.site.sums import CHUNK
from models.blobs import place
from models.bootplan import File
from tests.actors import edge_lab
from tests.actors.edge_lab import Small, cut, says
from tests.actors.lane import until
from tests.actors.site_lab import Folder, a_plan
from tests.pxe_stack import web
from tests.services import certificates

BODY = os.urandom(CHUNK) + bytes(CHUNK) + os.urandom(1000)
SHA = hashlib.sha256(BODY).hexdigest()
FILE = File(role="image", path="debian/disk.raw", sha256=SHA, size=len(BODY))
NEAR = ("127.0.0.0/8",)


@pytest.fixture
def mirror():
    with edge_lab.running() as running:
        running.keep(BODY)
        yield running


class Site:
    """A site that may fetch from *allow*; an edge answers it where there is one."""

    def __init__(self, path, allow=NEAR, capacity=1 << 30, edge="http://127.0.0.1:9"):
        self.path = path
        self.folder = Folder(path)
        self.folder.journal.mark_ready("http", os.getpid())
        self.store = AgentStore(path)
        self.held = {SHA}
        far = Elsewhere(reach.integration(allow))
        self.cache = Cache(path / "cache", capacity, Edge(edge), lambda: self.held, far)
        self.shelf = Artifacts(path / "artifacts", self.store, self.folder.plans, self.cache)
        self.desk = Desk(self.store, self.folder.plans, self.folder.journal, self.shelf, {"http"})

    def admit(self, elsewhere, file=FILE, url=None):
        """Ask until it is known what comes of it."""
        outcome = []

        def ended():
            try:
                self.shelf.admit(file, url, elsewhere)
            except Fetching:
                return False
            except Unservable as exc:
                outcome.append(exc)
            return True

        until(ended)
        return outcome[0] if outcome else None

    def settled(self, *kinds):
        def looked():
            self.desk.settle_all()
            return [kind for kind in self.folder.kinds() if kind in kinds]

        until(looked)
        return self.folder.seen()

    def close(self):
        self.desk.close()
        self.store.close()
        self.folder.close()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(admission, "RETRY_S", 0.02)
    monkeypatch.setattr(apart, "KEPT_S", 60.0)
    made = Site(tmp_path / "site")
    yield made
    made.close()


def link(mirror, path="images"):
    return f"{mirror.url}/{path}/{SHA}"


def test_it_is_fetched_checked_kept_and_served_like_any_other(site, mirror):
    assert site.admit(link(mirror)) is None

    lies = site.cache.folder / place(SHA)
    assert (site.folder.plans.file(FILE.path).location, lies.read_bytes()) == (lies, BODY)
    with web.serving(site.path) as boot:
        part = boot.get(f"/artifacts/{FILE.path}", "Range: bytes=10-19")
    assert part.endswith(b"\r\n\r\n" + BODY[10:20])
    assert mirror.requests == [("GET", None)]


def test_nobody_waits_for_it_and_it_is_fetched_once_for_all(site, mirror):
    go_on = threading.Event()
    mirror.faults = [lambda handler: go_on.wait(20) and handler.honest()]

    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(Fetching):
            site.shelf.admit(FILE, None, link(mirror))
    assert time.monotonic() - begun < 20
    go_on.set()

    assert site.admit(link(mirror)) is None
    assert mirror.requests == [("GET", None)]


def test_it_tells_how_much_has_come(site, mirror):
    go_on = threading.Event()

    def half(handler):
        handler.begin(200, len(BODY))
        handler.wfile.write(BODY[: CHUNK + 5])
        go_on.wait(20)
        handler.wfile.write(BODY[CHUNK + 5 :])

    mirror.faults = [half]
    told = []

    def comes():
        with pytest.raises(Fetching) as caught:
            site.shelf.admit(FILE, None, link(mirror))
        told.append(caught.value)
        return told[-1].come == CHUNK + 5

    until(comes)
    go_on.set()

    assert (told[-1].size, "4 of 8 MiB" in str(told[-1])) == (len(BODY), True)
    assert site.admit(link(mirror)) is None


def test_what_dies_in_the_middle_is_gone_on_with_also_after_a_restart(site, mirror, tmp_path):
    mirror.faults = [cut(CHUNK + 100), cut(0), cut(0), cut(0)]
    assert isinstance(site.admit(link(mirror)), Unfetched)
    mirror.requests.clear()
    again = Site(tmp_path / "site")

    assert again.admit(link(mirror)) is None

    assert mirror.requests == [("GET", f"bytes={CHUNK}-")]
    again.close()


def test_it_is_asked_nothing_of_once_it_is_kept(site, mirror, tmp_path):
    site.admit(link(mirror))
    mirror.requests.clear()
    again = Site(tmp_path / "site")

    assert again.admit(link(mirror)) is None

    assert mirror.requests == []
    again.close()


def test_what_is_not_there_is_taken_from_the_edge_if_that_has_it(tmp_path, mirror):
    with edge_lab.running() as edge:
        edge.keep(BODY)
        site = Site(tmp_path / "two", edge=edge.url)
        mirror.blobs.clear()

        assert site.admit(link(mirror), url=Small.link(SHA)) is None
        site.close()

    assert (len(mirror.requests), edge.requests) == (1, [("GET", None)])


def test_what_is_neither_there_nor_at_the_edge_is_said_of_there(tmp_path, mirror):
    with edge_lab.running() as edge:
        site = Site(tmp_path / "two", edge=edge.url)
        mirror.blobs.clear()

        refused = site.admit(link(mirror), url=Small.link(SHA))
        site.close()

    assert str(refused) == f"{FILE.path} cannot be had: 127.0.0.1 answers 404"


# --- what a server elsewhere may do ---


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_a_no_is_final_and_says_who_said_it(site, mirror, status):
    mirror.faults = [says(status)] * 9

    refused = site.admit(link(mirror))

    assert not isinstance(refused, Unfetched)
    assert str(refused) == f"{FILE.path} cannot be had: 127.0.0.1 answers {status}"
    assert len(mirror.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again_later(site, mirror, status):
    mirror.faults = [says(status)] * 3

    assert isinstance(site.admit(link(mirror)), Unfetched)
    assert len(mirror.requests) == 3


def test_bytes_that_are_not_what_was_promised_are_dropped_and_said(site, mirror):
    mirror.blobs[SHA] = BODY[:-1] + bytes([BODY[-1] ^ 1])

    refused = site.admit(link(mirror))

    assert "came with the SHA-256" in str(refused)
    assert not list(site.cache.folder.glob("*/*"))
    assert site.folder.plans.file(FILE.path) is None


def test_one_that_has_become_shorter_is_begun_anew_and_said(site, mirror, tmp_path):
    mirror.faults = [cut(CHUNK + 100), cut(0), cut(0), cut(0)]
    site.admit(link(mirror))
    again = Site(tmp_path / "site")
    mirror.blobs[SHA] = BODY[:1000]

    refused = again.admit(link(mirror))
    again.close()

    assert str(refused) == f"{FILE.path} has 1000 bytes at 127.0.0.1, the plan says {len(BODY)}"


def test_a_huge_one_is_refused_by_its_size_before_it_comes(site, mirror):
    def huge(handler):
        handler.begin(200, 1 << 40)

    mirror.faults = [huge, huge]
    other = replace(FILE, path="other", sha256="ab" * 32, size=0)

    known = site.admit(link(mirror))
    unknown = site.admit(link(mirror), other)

    assert f"has {1 << 40} bytes at 127.0.0.1, the plan says {len(BODY)}" in str(known)
    assert "does not fit" in str(unknown)
    assert not any(each.stat().st_size for each in site.cache.folder.glob("partial/*"))


def test_one_that_never_says_how_long_it_is_is_not_taken(site, mirror):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)
        handler.hang_up()

    mirror.faults = [endless] * 3

    assert "does not say how long" in str(site.admit(link(mirror), replace(FILE, size=0)))


def test_one_in_chunks_is_taken_where_the_plan_says_how_long_it_is(site, mirror):
    def in_chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(BODY), 1 << 20):
            piece = BODY[at : at + (1 << 20)]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    mirror.faults = [in_chunks]

    assert site.admit(link(mirror)) is None


def test_a_dripping_server_is_left_and_said_and_holds_up_no_other(site, mirror, monkeypatch):
    monkeypatch.setattr(cache, "Pace", lambda since: pace.Pace(since, 0.05))
    over = threading.Event()

    def drip(handler):
        handler.begin(200, len(BODY))
        while not over.wait(0.01):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    mirror.faults = [drip]
    slow = site.admit(link(mirror))
    over.set()

    assert isinstance(slow, Unfetched)
    assert "comes too slowly" in str(slow)


def test_a_server_that_says_nothing_is_hung_up_on(site, mirror, monkeypatch):
    monkeypatch.setattr(bulk, "HEAD_S", 0.05)
    over = threading.Event()
    mirror.faults = [lambda _: over.wait(20)] * 3

    silent = site.admit(link(mirror))
    over.set()

    assert isinstance(silent, Unfetched)
    assert "did not answer" in str(silent)


def test_what_no_plan_needs_any_more_is_left(site, mirror, monkeypatch):
    monkeypatch.setattr(cache, "Pace", lambda since: pace.Pace(since, 0.0))
    site.held.clear()

    assert "needed by no plan" in str(site.admit(link(mirror)))


# --- where it may lead ---


def test_a_redirect_is_followed_a_few_times(site, mirror):
    mirror.faults = [says(302, Location=f"/moved/{SHA}"), says(307, Location=link(mirror, "at"))]

    assert site.admit(link(mirror)) is None


def test_redirects_without_end_are_not(site, mirror):
    mirror.faults = [says(302, Location=link(mirror))] * 9

    assert "over 3 redirects" in str(site.admit(link(mirror)))
    assert len(mirror.requests) == 4


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://127.0.0.2:1/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "gopher://127.0.0.1/",
    ],
)
def test_a_redirect_is_judged_as_any_url_is(tmp_path, mirror, target):
    strict = Site(tmp_path / "strict", ("127.0.0.1",))
    mirror.faults = [says(302, Location=target)]

    refused = strict.admit(link(mirror))

    assert not isinstance(refused, Unfetched)
    assert "is not fetched" in str(refused)
    assert "secret" not in str(refused)
    strict.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/x",
        "http://127.0.0.1:1/x",
        "http://10.1.2.3/x",
        "http://192.168.1.1/x",
        "http://100.64.0.1/x",
        "http://[::1]/x",
        "http://[fd00::1]/x",
        "http://[fe80::1]/x",
        "http://224.0.0.1/x",
        "http://0.0.0.0/x",
        "ftp://mirror/x",
        "/etc/passwd",
    ],
)
def test_only_public_addresses_are_asked_where_nothing_is_allowed(tmp_path, url):
    strict = Site(tmp_path / "strict", ())

    refused = strict.admit(url)

    assert "is not fetched" in str(refused)
    strict.close()


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"])
def test_a_metadata_service_is_never_asked_even_if_allowed(address):
    rules = reach.integration((address, "0.0.0.0/0", "::/0", "metadata.internal"))

    with pytest.raises(NotAllowed, match="metadata"):
        rules.judge(ip_address(address), "metadata.internal")


def test_a_name_that_is_allowed_may_be_at_a_private_address():
    rules = reach.integration(("Mirror.Example", "10.7.0.0/16"))

    rules.judge(ip_address("192.168.1.1"), "mirror.example")
    rules.judge(ip_address("10.7.1.1"), "other.example")
    rules.judge(ip_address("1.1.1.1"), "other.example")
    with pytest.raises(NotAllowed, match="SPROUT_OUTBOUND_ALLOW"):
        rules.judge(ip_address("192.168.1.1"), "other.example")


def test_nothing_leads_from_https_to_http():
    assert elsewhere.followed("https://a.example/x/y", "../z") == "https://a.example/z"
    assert elsewhere.followed("http://a.example/x", "https://b.example/") == "https://b.example/"
    with pytest.raises(NotAllowed, match="from https to http"):
        elsewhere.followed("https://a.example/x", "http://a.example/x")


@pytest.mark.parametrize("believed", [True, False])
def test_by_https_a_server_has_to_prove_who_it_is(site, tmp_path, monkeypatch, believed):
    ours = certificates.authority(tmp_path / "ours")
    own = ours.issue("mirror", hosts=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    other = certificates.authority(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str((ours if believed else other).file))

    with edge_lab.running(context) as mirror:
        mirror.keep(BODY)
        outcome = site.admit(link(mirror))

    assert outcome is None or "127.0.0.1 does not prove who it is" in str(outcome)
    assert (outcome is None) is believed
    assert bool(mirror.requests) is believed


def test_credentials_are_sent_to_nobody(site, mirror, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen = []

    def look(handler):
        seen.extend(handler.headers.items())
        handler.honest()

    mirror.faults = [look]

    assert site.admit(link(mirror)) is None
    assert {name.lower() for name, _ in seen} == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "connection",
    }
    assert dict(seen)["Accept-Encoding"] == "identity"


# --- what is told ---


def test_a_plan_waits_for_it_is_told_and_is_served(site, mirror):
    plan = a_plan(site.store.agent, FILE)

    site.desk.receive([plan], links=Links({}, {SHA: link(mirror)}))
    rows = site.settled("plan-served")

    assert [kind for kind, _ in rows][-1] == "plan-served"
    assert rows[0][0] == "artifact-awaited"
    assert rows[0][1]["reason"].startswith("debian/disk.raw is being fetched from 127.0.0.1")


def test_a_plan_whose_file_cannot_be_had_is_refused_with_the_reason(site, mirror):
    mirror.blobs.clear()
    plan = a_plan(site.store.agent, FILE)

    site.desk.receive([plan], links=Links({}, {SHA: link(mirror)}))
    rows = site.settled("plan-refused")

    assert rows[-1][1]["reason"] == f"{FILE.path} cannot be had: 127.0.0.1 answers 404"
    assert site.store.links() == Links()


def test_many_plans_that_wait_for_one_file_have_it_fetched_once(site, mirror):
    go_on = threading.Event()
    mirror.faults = [lambda handler: go_on.wait(20) and handler.honest()]
    plans = [a_plan(site.store.agent, FILE, mac=f"52:54:00:00:01:{n:02x}") for n in range(50)]

    site.desk.receive(plans, links=Links({}, {SHA: link(mirror)}))
    site.settled("artifact-awaited")
    go_on.set()
    until(lambda: site.desk.settle_all() or site.folder.kinds().count("plan-served") == 50)

    assert mirror.requests == [("GET", None)]


def test_one_that_is_fetched_delays_no_plan_whose_files_are_here(site, mirror):
    go_on = threading.Event()
    mirror.faults = [lambda handler: go_on.wait(20) and handler.honest()] * 10
    here = a_plan(site.store.agent, mac="52:54:00:00:02:01")
    far = [
        a_plan(site.store.agent, replace(FILE, sha256=f"{n:064x}"), mac=f"52:54:00:00:03:{n:02x}")
        for n in range(10)
    ]
    links = {f"{n:064x}": f"{mirror.url}/x/{n:064x}" for n in range(10)}

    site.desk.receive([*far, here], links=Links({}, links))
    rows = site.settled("plan-served")
    go_on.set()

    assert "plan-refused" not in [kind for kind, _ in rows]


def test_the_same_is_told_of_a_plan_now_and_then_and_news_at_once():
    told, plan = waits.Waits(), a_plan(uuid4())
    busy, failed = Fetching("busy", come=5, size=9), Unfetched("503")

    assert told.due(plan, busy, 100.0) == {"reason": "busy", "grows": True, "come": 5, "size": 9}
    assert told.due(plan, busy, 101.0) is None
    assert told.due(plan, failed, 102.0) == {"reason": "503", "grows": False}
    assert told.due(plan, failed, 103.0) is None
    assert told.due(plan, busy, 100.0 + waits.TELL_S)["grows"] is False
    assert told.due(replace(plan, version=2), busy, 131.0)["grows"] is True
    told.over(plan)
    assert told.due(replace(plan, version=2), busy, 131.0)["grows"] is True


def test_a_failure_is_told_to_whoever_asks_soon_and_then_it_is_tried_anew():
    work = apart.Apart(1)
    ended = threading.Event()
    work.ended = ended.set

    def fails():
        raise Unfetched("no")

    with pytest.raises(apart.Pending):
        work.take("x", fails)
    assert ended.wait(60)
    for _ in range(2):
        with pytest.raises(Unfetched, match="no"):
            work.take("x", fails)
    with pytest.raises(apart.Pending):
        work.take("y", fails)
    work.close()


def test_a_name_without_an_address_may_have_one_later(site, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert isinstance(site.admit("http://no.such.host.invalid/x"), Unfetched)
