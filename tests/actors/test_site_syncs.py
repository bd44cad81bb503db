"""Sync jobs at a site: files fetched ahead, hashed again and dropped, for as long as it may."""

import hashlib
import os
from uuid import uuid4

import pytest

from actors.drivers import reach
from actors.drivers.deadline import Deadline
from actors.drivers.elsewhere import Elsewhere
from actors.drivers.errors import LeaseLost, Refused, Unreachable
from actors.site import download
from actors.site.leases import Leases
from actors.site.orders import Order
from actors.site.sums import CHUNK
from actors.site.syncs import Syncs
from actors.site.warrant import Progress, Warrant
from models import keeping
from models.blobs import place
from tests.actors import edge_lab
from tests.actors.edge_lab import Small, cut, says
from tests.actors.lane import until
from tests.actors.site_lab import an_artifact
from tests.actors.test_site_cache import Site

BIG = os.urandom(CHUNK) + bytes(CHUNK) + os.urandom(CHUNK + 1000)
SMALL = b"a kernel"


@pytest.fixture
def edge():
    with edge_lab.running() as running:
        yield running


@pytest.fixture
def site(tmp_path, edge, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.01, 0.01))
    made = Site(tmp_path / "site", edge.url)
    yield made
    made.close()


class Job:
    """A sync job as an agent has it: with its lease, until the test takes it."""

    def __init__(self, site, mode="preseed", **params):
        self.syncs = Syncs(site.shelf, site.cache)
        ids = {"task": str(uuid4()), "kind": "sync", "epoch": 1, "machine": str(uuid4())}
        params = {"mode": mode, **params}
        self.order = Order.parse({**ids, "deadline_s": 60, "params": params})
        self.leases = Leases()
        self.leases.hold(self.order.task, 1, lambda: None)
        self.leases.answered(self.leases.renewal())
        self.told = []
        self.seconds = 60.0

    def run(self):
        progress = Progress(self.told.append, clock=Clock())
        warrant = Warrant(self.leases, None, self.order.task, 1, progress)
        return self.syncs.perform(self.order, Deadline.after(self.seconds), warrant)

    def lose(self, *_):
        self.leases.cancel(self.order.task, 1)


class Clock:
    """Passes quickly, so that all progress is told."""

    now = 0.0

    def __call__(self):
        self.now += 60
        return self.now


def listed(*contents, size=True):
    """Return files of *contents* as a task tells of them."""
    shas = [hashlib.sha256(each).hexdigest() for each in contents]
    return [
        {"path": f"debian/{n}", "sha256": sha, "size": len(each) if size else 0}
        for n, (sha, each) in enumerate(zip(shas, contents, strict=True))
    ]


def links(files):
    return {each["sha256"]: Small.link(each["sha256"]) for each in files}


def preseed(site, edge, *contents, **more):
    for each in contents:
        edge.keep(each)
    files = listed(*contents)
    return Job(site, files=files, blobs=links(files), **more)


def lies(site, content):
    return site.cache.folder / place(hashlib.sha256(content).hexdigest())


def what(result):
    return [each["what"] for each in result["findings"]]


def test_a_preseed_has_every_file_here_before_it_is_needed(site, edge):
    result = preseed(site, edge, SMALL, BIG).run()

    assert lies(site, BIG).read_bytes() == BIG
    assert lies(site, SMALL).read_bytes() == SMALL
    size = len(BIG) + len(SMALL)
    assert result["counts"] == {
        "files_done": 2,
        "files_total": 2,
        "bytes_done": size,
        "bytes_total": size,
    }
    assert (what(result), result["told"]) == (
        ["fetched", "fetched"],
        "2 files are here, 2 of them fetched now",
    )


def test_what_is_here_already_is_not_fetched_again(site, edge):
    preseed(site, edge, SMALL).run()
    edge.requests.clear()

    result = preseed(site, edge, SMALL).run()

    assert (edge.requests, result["told"]) == ([], "1 files are here, 0 of them fetched now")


def test_what_is_in_the_artifact_folder_counts_as_here(site, edge):
    an_artifact(site.path / "artifacts", "debian/0", SMALL)

    result = preseed(site, edge, SMALL).run()

    assert (edge.requests, result["counts"]["bytes_done"]) == ([], len(SMALL))


def test_it_tells_how_far_it_is(site, edge):
    job = preseed(site, edge, BIG)

    job.run()

    bytes_done = [each["counts"]["bytes_done"] for each in job.told]
    assert bytes_done == sorted(bytes_done)
    assert 0 < bytes_done[len(bytes_done) // 2] < len(BIG)
    assert any("of 12 MiB" in each["doing"] for each in job.told)


def test_a_lease_that_is_lost_ends_it_in_the_middle_and_the_next_goes_on_from_there(site, edge):
    job = preseed(site, edge, BIG)

    def lost_after_two_chunks(handler):
        handler.begin(200, len(BIG))
        handler.wfile.write(BIG[: 2 * CHUNK + 5])
        handler.wfile.flush()
        until(lambda: site.cache.progress(hashlib.sha256(BIG).hexdigest())[0] > CHUNK)
        job.lose()
        handler.wfile.write(BIG[2 * CHUNK + 5 :])

    edge.faults.append(lost_after_two_chunks)
    with pytest.raises(LeaseLost):
        job.run()
    assert not lies(site, BIG).exists()
    result = preseed(site, edge, BIG).run()

    assert lies(site, BIG).read_bytes() == BIG
    resumed = int(edge.requests[-1][1].removeprefix("bytes=").rstrip("-"))
    assert resumed >= CHUNK
    assert what(result) == ["fetched"]


def test_a_connection_that_is_cut_is_gone_on_with(site, edge):
    edge.faults.append(cut(CHUNK + 17))

    result = preseed(site, edge, BIG).run()

    assert (what(result), lies(site, BIG).read_bytes()) == (["fetched"], BIG)


def test_one_bad_file_does_not_keep_the_others_waiting(site, edge):
    files = listed(SMALL, BIG, b"last")
    edge.keep(BIG)
    edge.keep(b"last")

    result = Job(site, files=files, blobs=links(files)).run()

    assert (what(result), result["failed"]) == (["failed", "fetched", "fetched"], True)
    assert result["told"].startswith("1 of 3 files cannot be had: debian/0 is neither at this")


def test_what_comes_with_another_hash_is_never_visible(site, edge):
    files = listed(SMALL)
    edge.blobs[files[0]["sha256"]] = b"a trojan"

    result = Job(site, files=[files[0] | {"size": 0}], blobs=links(files)).run()

    assert result["failed"]
    assert "came with the SHA-256" in result["findings"][0]["detail"]
    assert not lies(site, SMALL).exists()


def test_what_may_be_had_later_is_asked_for_again_after_all_others(site, edge):
    edge.faults += [says(503)] * 3

    job = preseed(site, edge, SMALL, BIG)
    with pytest.raises(Unreachable, match=r"debian/0 cannot be fetched now: .* answers 503"):
        job.run()

    assert lies(site, BIG).exists()
    assert job.told[-1]["counts"]["files_done"] == 1


def test_a_link_that_ran_out_is_asked_for_anew(site, edge):
    edge.faults.append(says(403))

    with pytest.raises(Unreachable, match="opens nothing any more"):
        preseed(site, edge, SMALL).run()


def test_its_time_being_over_ends_it_with_what_has_come(site, edge):
    job = preseed(site, edge, SMALL)
    job.seconds = -1.0

    with pytest.raises(Unreachable, match="its time is over"):
        job.run()


def test_files_of_a_job_are_not_dropped_for_its_other_files(site, edge):
    site.cache.capacity = len(BIG)

    result = preseed(site, edge, BIG, SMALL).run()

    assert lies(site, BIG).exists()
    assert "SPROUT_CACHE_BYTES" in result["told"]


def test_after_it_has_ended_others_may_have_their_room(site, edge):
    preseed(site, edge, BIG).run()
    site.cache.capacity = len(BIG)

    preseed(site, edge, SMALL).run()

    assert not lies(site, BIG).exists()


@pytest.fixture
def far(site, edge):
    """Let the site fetch from elsewhere; returns where the small server is as such."""
    site.cache.elsewhere = Elsewhere(reach.integration(["127.0.0.1"]))
    return edge.url


def origins(files, far):
    return {each["sha256"]: f"{far}/{each['sha256']}" for each in files}


def test_what_lies_elsewhere_is_fetched_from_there(site, edge, far):
    edge.keep(BIG)
    files = listed(BIG)

    result = Job(site, files=files, origins=origins(files, far)).run()

    assert what(result) == ["fetched"]


def test_what_elsewhere_does_not_have_the_edge_may_have(site, edge, far):
    edge.keep(BIG)
    edge.faults.append(says(404))
    files = listed(BIG)

    result = Job(site, files=files, origins=origins(files, far), blobs=links(files)).run()

    assert what(result) == ["fetched"]


def leads_to(url):
    return says(302, Location=url)


HOSTILE = {
    "metadata": ([leads_to("http://169.254.169.254/latest/")], "metadata service"),
    "link-local": ([leads_to("http://169.254.7.7/")], "is no public address"),
    "another loopback": ([leads_to("http://127.0.0.2:1/")], "is no public address"),
    "a file": ([leads_to("file:///etc/passwd")], "not file"),
    "for ever": ([leads_to("/again")] * 9, "redirects"),
    "too large for its record": ([says(200, Content_Length="99")], "the plan says"),
    "too large for the site": ([says(200, Content_Length=str(1 << 50))], "the plan says"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_server_is_refused_with_words(site, edge, far, case):
    faults, words = HOSTILE[case]
    edge.faults += faults
    files = listed(SMALL)

    result = Job(site, files=files, origins=origins(files, far)).run()

    assert (what(result), result["failed"]) == (["failed"], True)
    assert words in result["findings"][0]["detail"]


def endless(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


def test_a_server_that_never_ends_is_left(site, edge, far):
    edge.faults += [endless] * 2
    files = listed(SMALL)

    result = Job(site, files=files, origins=origins(files, far)).run()

    assert "sends more than it said" in result["findings"][0]["detail"]


def test_a_verify_reads_again_what_was_remembered(site, edge):
    preseed(site, edge, SMALL, BIG).run()
    found = lies(site, BIG).stat()
    with lies(site, BIG).open("r+b") as content:
        content.write(b"x")
    os.utime(lies(site, BIG), ns=(found.st_atime_ns, found.st_mtime_ns))

    result = Job(site, "verify", files=listed(SMALL, BIG, b"gone")).run()

    assert what(result) == ["dropped", "missing"]
    assert result["told"] == "3 files were looked at: 1 missing, 1 dropped"
    assert not lies(site, BIG).exists()
    assert lies(site, SMALL).exists()
    assert "failed" not in result


def test_a_verify_leaves_alone_what_an_operator_put_there(site):
    an_artifact(site.path / "artifacts", "debian/0", b"last year's")

    result = Job(site, "verify", files=listed(SMALL)).run()

    assert what(result) == ["differs"]
    assert (site.path / "artifacts" / "debian/0").read_bytes() == b"last year's"


def test_a_refresh_fetches_what_is_wrong_or_missing(site, edge):
    preseed(site, edge, SMALL, BIG).run()
    lies(site, SMALL).write_bytes(b"rotten!!")
    files = listed(SMALL, BIG)

    result = Job(site, "refresh", files=files, blobs=links(files)).run()

    assert what(result) == ["dropped", "fetched"]
    assert lies(site, SMALL).read_bytes() == SMALL


def needed(*contents):
    return keeping.told(hashlib.sha256(each).hexdigest() for each in contents)


def test_a_prune_drops_what_nothing_needs(site, edge):
    preseed(site, edge, SMALL, BIG, b"third").run()
    third = hashlib.sha256(b"third").hexdigest()
    site.held.add(third.upper())

    result = Job(site, "prune", needed=needed(SMALL)).run()

    there = [lies(site, each).exists() for each in (SMALL, BIG, b"third")]
    assert there == [True, False, True]
    assert result["counts"] == {"files_done": 1, "files_total": 1, "bytes_done": len(BIG)}


def test_a_prune_drops_what_was_left_in_part(site):
    sha256 = hashlib.sha256(BIG).hexdigest()
    partial = site.cache.folder / "partial" / sha256
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BIG[:CHUNK])

    Job(site, "prune", needed="").run()

    assert not partial.exists()


def test_without_its_lease_a_prune_drops_nothing(site, edge):
    preseed(site, edge, SMALL).run()
    job = Job(site, "prune", needed="")
    job.lose()

    with pytest.raises(LeaseLost):
        job.run()

    assert lies(site, SMALL).exists()


@pytest.mark.parametrize(
    "params",
    [
        {"mode": "push"},
        {"mode": None},
        {"mode": "preseed", "files": 7},
        {"mode": "preseed", "files": [{"path": "x"}]},
        {"mode": "preseed", "files": [{"path": "x", "sha256": "0" * 64, "size": "big"}]},
        {"mode": "preseed", "files": [], "blobs": "x"},
        {"mode": "prune", "needed": "0"},
        {"mode": "prune", "needed": "Z" * 12},
    ],
)
def test_a_job_that_makes_no_sense_is_refused(site, params):
    with pytest.raises(Refused, match="malformed"):
        Job(site, **params).run()


@pytest.mark.parametrize("path", ["../../etc/shadow", "/etc/passwd", "\0", "debian/" + "x" * 5000])
def test_a_path_leads_nowhere_else(site, path):
    files = [{"path": path, "sha256": "0" * 64, "size": 0}]

    result = Job(site, "verify", files=files).run()

    assert what(result) == ["missing"]


@pytest.mark.parametrize("sha256", ["", "0" * 63, "../" * 21 + "x", "g" * 64])
def test_a_hash_that_is_none_is_never_a_place(site, sha256):
    files = [{"path": "x", "sha256": sha256, "size": 0}]

    result = Job(site, files=files, blobs={sha256: "/v1/blobs/x"}).run()

    assert result["failed"]
