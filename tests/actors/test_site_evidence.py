"""Evidence on its way up: kept on the disk, sent once, resumed, and never lost without a word."""

import errno
import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psutil
import pytest

from actors.drivers.edge_line import Edge
from actors.site import evidence, upload
from actors.site.evidence import Evidence
from actors.site.orders import Order
from actors.site.upload import FIRST
from edge.errors import Malformed
from edge.uploads import Part, Uploads
from models.blobs import place
from models.commands import blobs
from models.database import borrowed
from tests.actors import edge_lab
from tests.actors.edge_lab import says
from tests.actors.lane import until
from tests.actors.site_lab import SITE, Folder
from tests.edge.conftest import serving, variables

BODY = os.urandom(3 << 20)
SHA = hashlib.sha256(BODY).hexdigest()
NAME = "redfish-inventory-record.json"
KEPT, DROPPED = "evidence-kept", "evidence-dropped"
GO_ON = threading.Event()


@pytest.fixture
def edge():
    with edge_lab.running() as running:
        yield running


class Site:
    """A spool, and the journal that it reports to."""

    def __init__(self, path, url, capacity=evidence.CAPACITY):
        self.path = path
        self.folder = Folder(path)
        self.spool = Evidence(path / "evidence", self.folder.journal, Edge(url), capacity=capacity)

    def again(self, url):
        """Begin a new life on the same disk."""
        self.spool = Evidence(self.path / "evidence", self.folder.journal, Edge(url))
        return self

    def send(self):
        return self.spool.send_all(GO_ON)

    def files(self):
        return sorted(path.name for path in (self.path / "evidence").glob("*"))

    def told(self):
        return [(kind, data.get("reason")) for kind, data in self.folder.seen()]


@pytest.fixture
def site(tmp_path, edge):
    made = Site(tmp_path / "site", edge.url)
    yield made
    made.folder.close()


def an_order(task=None, url="/v1/blobs/{sha256}?g=right"):
    return Order.parse(
        {
            "task": str(task or uuid4()),
            "kind": "redfish-inventory",
            "epoch": 3,
            "deadline_s": 60,
            "machine": str(uuid4()),
            "bmc": {"address": "http://127.0.0.1:1"},
            "upload": url,
        }
    )


def test_what_is_kept_goes_up_in_parts_and_is_then_reported(site, edge):
    order = an_order()

    reference = site.spool.keep(order, NAME, BODY)

    assert reference == {"name": NAME, "sha256": SHA, "size": len(BODY)}
    assert site.folder.seen() == []
    assert site.send()
    assert edge.blobs[SHA] == BODY
    ids = {"task": str(order.task), "epoch": 3, "kind": "redfish-inventory"}
    assert site.folder.seen() == [(KEPT, ids | reference)]
    assert site.files() == []
    first, *_, last = [told for method, told in edge.requests if method == "PUT"]
    assert first == f"bytes 0-{FIRST - 1}/{len(BODY)}"
    assert last.endswith(f"-{len(BODY) - 1}/{len(BODY)}")


def test_it_lies_on_the_disk_for_its_owner_alone(site):
    site.spool.keep(an_order(), NAME, BODY)

    modes = {path.stat().st_mode & 0o777 for path in (site.path / "evidence").glob("*")}
    assert (modes, (site.path / "evidence").stat().st_mode & 0o777) == ({0o600}, 0o700)


def test_the_same_evidence_twice_goes_up_once(site, edge):
    order = an_order()
    site.spool.keep(order, NAME, BODY)
    site.spool.keep(order, NAME, BODY)
    site.send()
    sent = len(edge.requests)

    site.spool.keep(order, NAME, BODY)
    site.send()

    assert site.folder.kinds() == [KEPT, KEPT]
    assert len(edge.requests) == sent  # HEAD alone was asked, and is not listed


def test_an_edge_that_is_away_is_waited_for_over_a_restart(site, tmp_path, edge):
    gone = Site(tmp_path / "cut", "http://127.0.0.1:1")
    gone.spool.keep(an_order(), NAME, BODY)
    assert not gone.send()
    assert gone.told() == []

    back = gone.again(edge.url)

    assert back.send()
    assert (edge.blobs[SHA], gone.told()) == (BODY, [(KEPT, None)])
    gone.folder.close()


def test_a_cut_in_the_middle_is_gone_on_with(site, edge):
    edge.faults += [None, None, lambda handler: handler.hang_up()]
    site.spool.keep(an_order(), NAME, BODY)

    assert not site.send()
    half = len(edge.parts[SHA])
    assert site.send()

    assert 0 < half < len(BODY)
    starts = [int(told.split()[1].partition("-")[0]) for _, told in edge.requests]
    assert starts.count(0) == 1
    assert edge.blobs[SHA] == BODY


@pytest.mark.parametrize("status", [401, 403, 410, 413])
def test_what_the_edge_will_never_take_is_dropped_with_its_reason(site, edge, status):
    edge.faults += [says(status)]
    site.spool.keep(an_order(), NAME, BODY)

    assert site.send()

    [(kind, reason)] = site.told()
    assert (kind, str(status) in reason, site.files()) == (DROPPED, True, [])


@pytest.mark.parametrize("status", [500, 503, 507, 404])
def test_what_the_edge_cannot_take_now_waits(site, edge, status):
    edge.faults += [says(status)]
    site.spool.keep(an_order(), NAME, BODY)

    assert not site.send()
    assert (len(site.spool.waiting()), site.told()) == (1, [])
    assert site.send()
    assert site.told() == [(KEPT, None)]


@pytest.mark.parametrize("status", [202, 409])
def test_an_edge_that_never_gets_further_is_left_for_now(site, edge, status):
    edge.faults += [says(status, Upload_Offset="0")] * 50
    site.spool.keep(an_order(), NAME, BODY)

    assert not site.send()

    assert len(edge.requests) < 10


def test_what_cannot_be_sent_does_not_keep_others_from_it(site, edge):
    edge.faults += [says(500)]
    site.spool.keep(an_order(), NAME, BODY)
    site.spool.keep(an_order(), NAME, b"{}")
    site.send()

    edge.faults += [None, says(500)]
    site.send()

    assert list(edge.blobs.values()) == [b"{}"]


@pytest.mark.parametrize("url", ["http://169.254.169.254/{sha256}", "ftp://x/{sha256}"])
def test_a_right_that_leads_elsewhere_is_not_followed(site, edge, url):
    site.spool.keep(an_order(url=url), NAME, BODY)

    site.send()

    assert [kind for kind, _ in site.told()] == [DROPPED]
    assert edge.requests == []


def test_without_a_grant_it_is_said_that_nothing_is_kept(site):
    site.spool.keep(an_order(url=""), NAME, BODY)

    assert site.told() == [(DROPPED, "control granted no upload")]
    assert site.files() == []


def test_the_spool_is_bounded_and_says_what_it_dropped(tmp_path):
    site = Site(tmp_path / "site", "http://127.0.0.1:1", capacity=100)
    orders = [an_order() for _ in range(3)]
    for order in orders:
        site.spool.keep(order, NAME, os.urandom(40))

    [(kind, data)] = site.folder.seen()
    assert (kind, data["task"]) == (DROPPED, str(orders[0].task))
    assert "newer evidence needed its room" in data["reason"]
    assert {each.task for each in site.spool.waiting()} == {str(o.task) for o in orders[1:]}
    site.folder.close()


def test_what_is_larger_than_the_spool_drops_nothing_else(tmp_path):
    site = Site(tmp_path / "site", "http://127.0.0.1:1", capacity=100)
    site.spool.keep(an_order(), NAME, b"small")

    site.spool.keep(an_order(), NAME, bytes(101))

    [(kind, reason)] = site.told()
    assert (kind, "does not fit" in reason, len(site.spool.waiting())) == (DROPPED, True, 1)
    site.folder.close()


def test_a_full_disk_at_the_site_is_said_and_leaves_nothing(site, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    site.spool.keep(an_order(), NAME, BODY)

    assert site.told() == [(DROPPED, "it cannot be kept here: No space left on device")]
    assert site.files() == []


def test_what_a_crash_left_half_written_is_swept(site, edge):
    site.spool.keep(an_order(), NAME, BODY)
    folder = site.path / "evidence"
    (folder / f"{uuid4()}.{SHA}.data").write_bytes(b"half")
    (folder / f"{uuid4()}.{SHA}.json.new").write_bytes(b"{")
    (folder / f"{uuid4()}.{SHA}.json").write_bytes(b"{")

    site.again(edge.url)

    assert len(site.files()) == 2
    assert site.send()


def test_an_agent_that_ends_leaves_the_rest_to_its_next_life(site, edge):
    stop = threading.Event()
    edge.faults += [None, lambda handler: stop.set() or handler.answer(202, Upload_Offset="16384")]
    site.spool.keep(an_order(), NAME, BODY)

    assert not site.spool.send_all(stop)
    assert len(site.spool.waiting()) == 1


def test_it_is_sent_soon_after_it_was_kept(site, edge):
    stop = threading.Event()
    thread = threading.Thread(target=site.spool.run, args=(stop,), daemon=True)
    thread.start()

    site.spool.keep(an_order(), NAME, BODY)

    until(lambda: site.folder.kinds() == [KEPT])
    stop.set()


# --- the real edge ---


class Real:
    """An edge process with its blobs, and what control would grant."""

    def __init__(self, database_url, path):
        self.path = path
        self.blobs = path / "blobs"
        self.settings = variables(database_url, path) | {"SPROUT_BLOB_DIR": str(self.blobs)}

    def running(self):
        return serving(self.settings, self.path)

    @staticmethod
    def order(*, task=None, most=1 << 30, ago=timedelta(), site=SITE):
        task = task or uuid4()
        with borrowed():
            url = blobs.upload(task, site, datetime.now(UTC) - ago, most_bytes=most)
        return an_order(task, url)

    def has(self, sha=SHA):
        path = self.blobs / place(sha)
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def real(database_url, tmp_path):
    return Real(database_url, tmp_path)


@pytest.mark.services
def test_the_edge_refuses_what_was_not_granted_and_the_site_says_why(real, tmp_path):
    other = real.order()
    forged = real.order()
    tampered = forged.upload.replace(forged.task.hex, other.task.hex)
    generous = real.order(most=1000).upload
    elsewhere = forged.upload.replace(SITE.hex, UUID(int=1).hex)
    cases = [
        (real.order(ago=timedelta(hours=25)), "run out"),
        (real.order(most=len(BODY) - 1), "more may be uploaded by this right"),
        (an_order(other.task, tampered), "was not signed here"),
        (an_order(forged.task, elsewhere), "was not signed here"),
        (an_order(url=generous.replace(".1000.", ".9000000.")), "was not signed here"),
    ]
    with real.running() as edge:
        site = Site(tmp_path / "site", edge.url)
        for order, _ in cases:
            site.spool.keep(order, NAME, BODY)

        assert site.send()

        told = dict(zip([data["task"] for _, data in site.folder.seen()], site.told(), strict=True))
        for order, why in cases:
            kind, reason = told[str(order.task)]
            assert (kind, why in reason) == (DROPPED, True), (reason, why)
        assert real.has() is None
    site.folder.close()


@pytest.mark.services
def test_a_wrong_checksum_never_becomes_visible(real, tmp_path):
    with real.running() as edge:
        site = Site(tmp_path / "site", edge.url)
        site.spool.keep(real.order(), NAME, BODY)
        [data] = (site.path / "evidence").glob("*.data")
        data.write_bytes(bytes(len(BODY)))

        assert site.send()

        [(kind, reason)] = site.told()
        assert (kind, "another SHA-256" in reason, real.has()) == (DROPPED, True, None)
    site.folder.close()


@pytest.mark.services
def test_over_a_line_that_is_cut_it_comes_whole_and_once(real, tmp_path):
    order = real.order()
    with real.running() as edge:
        site = Site(tmp_path / "site", edge.url)
        holder = f"site:{SITE}/task:{order.task}"
        half = BODY[: len(BODY) // 2]
        cut = iter([half, b""])
        inbox, everything = Uploads(real.blobs), Part(0, len(BODY), len(BODY))
        with pytest.raises(Malformed):
            inbox.receive(SHA, holder, everything, lambda _: next(cut), most=len(BODY))
        site.spool.keep(order, NAME, BODY)

        assert site.send()

        assert real.has() == BODY
        rows = edge.get("/v1/audit").json()["items"]
        assert [row["actor"] for row in rows if row["action"] == "blob.put"] == [holder]
    site.folder.close()


@pytest.mark.services
def test_a_full_disk_at_the_edge_is_waited_for_and_gone_on_with(real, tmp_path):
    with real.running() as edge:
        site = Site(tmp_path / "site", edge.url)
        site.spool.keep(real.order(), NAME, BODY)
        workers = psutil.Process(edge.master.pid).children()
        for each in workers:
            each.rlimit(psutil.RLIMIT_FSIZE, (1 << 20, 10 << 20))

        assert not site.send()
        assert (len(site.spool.waiting()), site.told(), real.has()) == (1, [], None)

        for each in workers:
            each.rlimit(psutil.RLIMIT_FSIZE, (10 << 20, 10 << 20))
        assert site.send()
        assert real.has() == BODY
    site.folder.close()


def test_a_try_is_bounded_in_time(site, monkeypatch):
    monkeypatch.setattr(upload, "TRY_S", 0.0)
    site.spool.keep(an_order(), NAME, BODY)

    assert not site.send()
    assert len(site.spool.waiting()) == 1
