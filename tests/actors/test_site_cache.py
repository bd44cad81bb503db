"""Artifacts from the edge: fetched once, verified, resumed, within their room."""

import hashlib
import os
import socket
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from actors.drivers import bulk
from actors.drivers.edge_line import Edge
from actors.site import download, sums
from actors.site.artifacts import Artifacts, Unfetched, Unservable
from actors.site.cache import Cache
from actors.site.store import AgentStore
from actors.site.sums import CHUNK
from models.blobs import place
from models.bootplan import File
from models.commands import blobs
from models.database import borrowed
from tests.actors import edge_lab
from tests.actors.edge_lab import Small, cut, says
from tests.actors.lane import until
from tests.actors.site_lab import Folder, an_artifact
from tests.edge.conftest import serving, variables
from tests.pxe_stack import web

BODY = os.urandom(CHUNK) + bytes(2 * CHUNK) + os.urandom(1000)
SHA = hashlib.sha256(BODY).hexdigest()
FILE = File(role="image", path="debian/disk.raw", sha256=SHA, size=len(BODY))
LINK = Small.link(SHA)


@pytest.fixture
def edge():
    with edge_lab.running() as running:
        running.keep(BODY)
        yield running


class Site:
    """A site without an artifact folder, and its cache."""

    def __init__(self, path, url, capacity=1 << 30):
        self.path = path
        self.folder = Folder(path)
        self.store = AgentStore(path)
        self.held = set()
        self.cache = Cache(path / "cache", capacity, Edge(url), lambda: self.held)
        self.shelf = Artifacts(path / "artifacts", self.store, self.folder.plans, self.cache)

    def served(self, path=FILE.path):
        found = self.folder.plans.file(path)
        return None if found is None else found.location

    def close(self):
        self.store.close()
        self.folder.close()

    @property
    def partial(self):
        return self.cache.folder / "partial" / SHA


@pytest.fixture
def site(tmp_path, edge, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.01, 0.01))
    made = Site(tmp_path / "site", edge.url)
    yield made
    made.close()


def test_what_is_not_here_is_fetched_verified_and_served(site, edge):
    site.shelf.admit(FILE, LINK)

    lies = site.cache.folder / place(SHA)
    assert (site.served(), lies.read_bytes()) == (lies, BODY)
    lines = site.folder.plans.chunks(FILE.path).splitlines()
    assert lines[0] == f"sprout-chunks 1 {len(BODY)} {SHA}"
    assert [line.split()[2] == "zero" for line in lines[1:]] == [False, True, True, False]
    assert edge.requests == [("GET", None)]


def test_what_was_fetched_once_is_sent_to_every_machine(site, edge):
    site.shelf.admit(FILE, LINK)

    with web.serving(site.path) as boot:
        whole = boot.get(f"/artifacts/{FILE.path}")
        part = boot.get(f"/artifacts/{FILE.path}", "Range: bytes=10-19")
        listed = boot.get(f"/artifacts/{FILE.path}.chunks")

    assert whole.endswith(b"\r\n\r\n" + BODY)
    assert part.endswith(b"\r\n\r\n" + BODY[10:20])
    assert f"sprout-chunks 1 {len(BODY)} {SHA}\n".encode() in listed
    assert edge.requests == [("GET", None)]


def test_zeros_take_no_room_on_the_disk(site):
    site.shelf.admit(FILE, LINK)

    assert site.served().stat().st_blocks * 512 < CHUNK + 100_000


def test_it_is_hashed_as_it_comes_and_never_read_again(site, monkeypatch):
    monkeypatch.setattr(sums, "read", None)

    site.shelf.admit(FILE, LINK)
    site.shelf.admit(FILE)


def test_what_is_in_the_artifact_folder_is_not_fetched(site, edge):
    local = an_artifact(site.path / "artifacts", FILE.path, BODY)

    site.shelf.admit(local, LINK)

    assert (site.served(), edge.requests) == (site.path / "artifacts" / FILE.path, [])


def test_an_old_file_in_the_artifact_folder_does_not_hide_the_right_one(site):
    an_artifact(site.path / "artifacts", FILE.path, b"last year's")

    site.shelf.admit(FILE, LINK)

    assert site.served() == site.cache.folder / place(SHA)


def test_without_a_url_what_is_not_here_is_said_as_before(site):
    with pytest.raises(Unservable, match="is not in the artifact folder"):
        site.shelf.admit(FILE)


def test_an_empty_file_is_fetched_too(site, edge):
    empty = edge.keep(b"")

    site.shelf.admit(File(role="x", path="empty", sha256=empty), Small.link(empty))

    assert site.served("empty").stat().st_size == 0


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
@pytest.mark.parametrize("content", [b"\0", b"x"])
def test_every_size_comes_as_it_is(site, edge, size, content):
    whole = content * size
    sha = edge.keep(whole)

    site.shelf.admit(File(role="x", path="any", sha256=sha), Small.link(sha))

    assert site.served("any").read_bytes() == whole
    with site.served("any").open("rb") as kept:
        assert site.folder.plans.chunks("any") == sums.read(kept).chunks


# --- what breaks ---


def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(site, edge):
    edge.faults = [cut(CHUNK + 100), cut(50), None]

    site.shelf.admit(FILE, LINK)

    asked = [asked for _, asked in edge.requests]
    assert asked == [None, f"bytes={CHUNK + 100}-", f"bytes={CHUNK + 150}-"]


def test_tries_that_bring_something_are_not_counted(site, edge):
    edge.faults = [cut(700_000)] * 10

    site.shelf.admit(FILE, LINK)

    assert site.served().read_bytes() == BODY


@pytest.mark.parametrize(
    "fault",
    [cut(0), says(503, Retry_After="1"), says(500), says(429), says(204), says(206)],
    ids=["nothing", "503", "500", "429", "204", "206 without a range"],
)
def test_it_is_given_up_for_now_when_tries_bring_nothing(site, edge, fault):
    edge.faults = [fault] * 20

    with pytest.raises(Unfetched) as caught:
        site.shelf.admit(FILE, LINK)

    assert (caught.value.expired, len(edge.requests)) == (False, 4 - 1)
    assert "right" not in str(caught.value)


def test_after_a_restart_what_came_is_not_fetched_again(site, edge, tmp_path):
    edge.faults = [cut(CHUNK + 100)] + [cut(0)] * 9
    with pytest.raises(Unfetched):
        site.shelf.admit(FILE, LINK)
    edge.faults, edge.requests = [], []
    again = Site(tmp_path / "site", edge.url)

    again.shelf.admit(FILE, LINK)

    assert edge.requests == [("GET", f"bytes={CHUNK}-")]
    assert again.served().read_bytes() == BODY
    again.close()


def test_what_a_power_cut_spoiled_is_fetched_from_the_start(site, edge):
    site.partial.parent.mkdir(parents=True)
    site.partial.write_bytes(bytes(CHUNK))  # its length reached the disk, and its bytes did not

    site.shelf.admit(FILE, LINK)

    assert [asked for _, asked in edge.requests] == [f"bytes={CHUNK}-", None]
    assert site.served().read_bytes() == BODY


@pytest.mark.parametrize("at", [0, CHUNK - 1])
def test_a_byte_that_flipped_in_what_was_kept_is_found(site, edge, at):
    kept = bytearray(BODY[:CHUNK])
    kept[at] ^= 1
    site.partial.parent.mkdir(parents=True)
    site.partial.write_bytes(kept)

    site.shelf.admit(FILE, LINK)

    assert [asked for _, asked in edge.requests] == [f"bytes={CHUNK}-", None]
    assert site.served().read_bytes() == BODY


def test_what_came_and_is_longer_than_the_blob_is_dropped(site, edge):
    site.partial.parent.mkdir(parents=True)
    site.partial.write_bytes(bytes(4 * CHUNK))

    site.shelf.admit(FILE, LINK)

    assert site.served().read_bytes() == BODY


def test_an_edge_that_ignores_the_range_is_taken_from_the_start(site, edge):
    def all_of_it(handler):
        del handler.headers["Range"]
        handler.honest()

    edge.faults = [cut(CHUNK + 1), all_of_it]

    site.shelf.admit(FILE, LINK)

    assert site.served().read_bytes() == BODY


def test_bytes_that_are_not_what_was_promised_are_dropped_and_said(site, edge):
    edge.blobs[SHA] = BODY[:-1] + bytes([BODY[-1] ^ 1])

    with pytest.raises(Unservable, match="came with the SHA-256") as caught:
        site.shelf.admit(FILE, LINK)

    assert not isinstance(caught.value, Unfetched)
    assert (site.served(), site.partial.exists()) == (None, False)


@pytest.mark.parametrize("change", [BODY[:-1], BODY + b"x"])
def test_another_size_than_the_plan_s_is_refused_before_it_comes(site, edge, change):
    edge.blobs[SHA] = change

    with pytest.raises(Unservable, match=f"has {len(change)} bytes at the edge"):
        site.shelf.admit(FILE, LINK)


def test_more_than_was_announced_is_not_kept(site, edge):
    def flood(handler):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-9/{FILE.size}")
        handler.send_header("Content-Length", str(FILE.size + CHUNK))
        handler.end_headers()
        handler.wfile.write(BODY + bytes(CHUNK))

    edge.faults = [flood]

    with pytest.raises(Unservable, match="sends more than it said"):
        site.shelf.admit(FILE, LINK)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_url_that_ran_out_is_told_from_other_failures(site, edge, status):
    edge.faults = [says(status)]

    with pytest.raises(Unfetched) as caught:
        site.shelf.admit(FILE, LINK)

    assert (caught.value.expired, len(edge.requests)) == (True, 1)


def test_what_is_nowhere_is_said(site, edge):
    edge.blobs.clear()

    with pytest.raises(Unservable, match="neither at this site nor at the edge"):
        site.shelf.admit(FILE, LINK)


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.2:1/v1/blobs/x",
        "//evil.example/v1/blobs/x",
        "https://127.0.0.1/v1/blobs/x",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
    ],
)
def test_a_url_that_leads_elsewhere_is_not_followed(site, edge, link):
    with pytest.raises(Unservable, match="is not fetched"):
        site.shelf.admit(FILE, link)

    assert edge.requests == []


def test_a_redirect_is_not_followed(site, edge):
    edge.faults = [says(302, Location=f"{edge.url}{LINK}")]

    with pytest.raises(Unservable, match="redirects"):
        site.shelf.admit(FILE, LINK)


def test_an_edge_that_says_nothing_is_left(site, edge, monkeypatch):
    monkeypatch.setattr(bulk, "HEAD_S", 0.1)
    done = threading.Event()
    edge.faults = [lambda handler: done.wait(20)] * 20

    with pytest.raises(Unfetched):
        site.shelf.admit(FILE, LINK)

    done.set()


def test_an_edge_that_is_away_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.01,))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    site = Site(tmp_path / "site", f"http://127.0.0.1:{port}")

    with pytest.raises(Unfetched, match="cannot be reached"):
        site.shelf.admit(FILE, LINK)

    site.close()


def test_an_agent_that_ends_leaves_its_fetch_to_its_next_life(site, edge):
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler):
        handler.begin(200, len(BODY))
        handler.wfile.write(BODY[: CHUNK + 1])
        begun.set()
        go_on.wait(20)
        handler.wfile.write(BODY[CHUNK + 1 :])

    edge.faults = [slow]
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(site.shelf.admit, FILE, LINK)
        begun.wait(60)
        until(lambda: site.partial.stat().st_size >= CHUNK)
        site.shelf.close()
        go_on.set()
        with pytest.raises(Unfetched):
            fetching.result(20)

    assert site.partial.stat().st_size >= CHUNK


def test_a_spoiled_file_of_the_cache_is_fetched_again(site):
    site.shelf.admit(FILE, LINK)
    site.served().write_bytes(b"spoiled")

    site.shelf.admit(FILE, LINK)

    assert site.served().read_bytes() == BODY


# --- many ---


def test_one_fetch_serves_all_who_wait_for_it(site, edge):
    came, go_on = threading.Event(), threading.Event()

    def slow(handler):
        came.set()
        go_on.wait(20)
        handler.honest()

    edge.faults = [slow]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(site.shelf.admit, FILE, LINK) for _ in range(8)]
        came.wait(60)
        go_on.set()
        for each in waiting:
            each.result(20)

    assert len(edge.requests) == 1


def test_all_who_wait_hear_why_it_failed(site, edge):
    came, go_on = threading.Event(), threading.Event()

    def slow(handler):
        came.set()
        go_on.wait(20)
        handler.answer(403)

    edge.faults = [slow, says(403)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(site.shelf.admit, FILE, LINK)
        came.wait(60)
        second = pool.submit(site.shelf.admit, FILE, LINK)
        go_on.set()
        failed = [each.exception(20) for each in (first, second)]

    assert [each.expired for each in failed] == [True, True]


class Many:
    """Files of 100 bytes, in a cache of 300."""

    def __init__(self, site, edge):
        self.site, self.edge = site, edge
        site.cache.capacity = 300 << 10

    def admit(self, name):
        body = name.encode() * (100 << 10)
        sha = self.edge.keep(body)
        self.site.shelf.admit(File(role="x", path=name, sha256=sha), Small.link(sha))
        os.utime(self.site.cache.folder / place(sha), ns=(self.at(), 0))
        return sha

    def at(self):
        self.clock = getattr(self, "clock", 0) + 10**9
        return self.clock

    def here(self, *shas):
        return [(self.site.cache.folder / place(sha)).exists() for sha in shas]


@pytest.fixture
def many(site, edge):
    return Many(site, edge)


def test_what_was_used_longest_ago_goes_first(many):
    a, b, c = map(many.admit, "abc")

    many.admit("d")

    assert many.here(a, b, c) == [False, True, True]


def test_what_is_used_again_stays(many):
    a, b, c = map(many.admit, "abc")
    many.site.cache.find(a)

    many.admit("d")

    assert many.here(a, b, c) == [True, False, True]


def test_what_a_held_plan_needs_is_never_dropped(many):
    a, b, c = map(many.admit, "abc")
    many.site.held = {a.upper(), b}

    many.admit("d")

    assert many.here(a, b, c) == [True, True, False]


def test_a_plan_that_needs_more_than_fits_is_refused_with_a_sentence(many):
    many.site.held = set(map(many.admit, "abc"))

    with pytest.raises(Unservable, match=r"does not fit.*SPROUT_CACHE_BYTES.*307200 of them"):
        many.admit("d")

    assert many.here(*many.site.held) == [True] * 3


def test_what_is_larger_than_the_cache_is_refused_and_drops_nothing(many):
    a = many.admit("a")
    sha = many.edge.keep(bytes(400 << 10))

    with pytest.raises(Unservable, match="does not fit"):
        many.site.shelf.admit(File(role="x", path="large", sha256=sha), Small.link(sha))

    assert many.here(a) == [True]


def test_fetches_under_way_have_their_room(many):
    begun, go_on = threading.Barrier(3), threading.Event()

    def slow(handler):
        handler.begin(200, 200 << 10)
        begun.wait(60)
        go_on.wait(20)
        handler.wfile.write(bytes(200 << 10))

    many.edge.faults = [slow, slow]
    shas = ["1" * 64, "2" * 64]
    with ThreadPoolExecutor(2) as pool:
        tried = [
            pool.submit(many.site.shelf.admit, File(role="x", path=s, sha256=s), Small.link(s))
            for s in shas
        ]
        begun.wait(60)
        wait(tried, 20, FIRST_COMPLETED)  # there is no room for both: one is refused by its size
        go_on.set()
        sentences = [str(each.exception(20)) for each in tried]

    assert ["does not fit" in each for each in sorted(sentences)].count(True) == 1


# --- the real edge ---


@pytest.mark.services
def test_the_edge_behind_a_line_that_is_cut_again_and_again(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.01,) * 5)
    folder, site_id = tmp_path / "blobs", uuid4()
    (folder / place(SHA)).parent.mkdir(parents=True)
    (folder / place(SHA)).write_bytes(BODY)
    with borrowed():
        url = blobs.links([FILE], site_id, datetime.now(UTC))[SHA]
    settings = variables(database_url, tmp_path) | {"SPROUT_BLOB_DIR": str(folder)}

    with serving(settings, tmp_path) as edge:
        port = int(edge.url.rpartition(":")[2])
        with edge_lab.relay(port, most=3_000_000) as cutting:
            site = Site(tmp_path / "site", cutting)
            site.shelf.admit(FILE, url)

    assert site.served().read_bytes() == BODY
    site.close()
