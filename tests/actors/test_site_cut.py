"""A site whose uplink is cut: it serves from its store, and what it saw arrives once, in order."""

import signal

import pytest
import requests

from models.bootplan import Access, Action, Addressing, Document, url
from models.messages import Kind
from tests.actors.hostile_bmc import RESET
from tests.actors.lane import until
from tests.actors.site_lab import a_plan, an_artifact
from tests.actors.site_whole import ONE_BROKER, Cable, Site, a_task

HERE = Addressing(address="127.0.0.1", prefix_length=8)
"""The test speaks as the machine: tokens open for its address alone."""

SCRIPT = Document(
    name="script", access=Access.SCRIPT, media_type="text/plain", body="#!ipxe\necho install\n"
)
SEED = Document(
    name="user-data", access=Access.SEED, media_type="text/plain", body="#cloud-config\n"
)
LOCAL = "starting its own disk"
STRANGER = "does not know this machine"

pytestmark = pytest.mark.services


class Place:
    """A site with one plan in service, behind a cable."""

    def __init__(self, folder, control, broker_url):
        self.control = control
        self.cable = Cable(broker_url)
        self.site = Site(folder, control, self.cable.url)

    def begin(self):
        self.cable.mend()
        self.site.start()
        image = an_artifact(self.site.artifacts, "debian/disk.raw", b"image" * 100)
        self.plan = a_plan(
            self.control.agent(),
            image,
            documents=(SCRIPT, SEED),
            boot_base_url=self.site.url,
            addressing=HERE,
        )
        self.control.give(self.plan)

    def get(self, access, name):
        return requests.get(url(self.plan, self.control.key, access, name), timeout=60)

    def call(self, name, **data):
        callback = url(self.plan, self.control.key, Access.CALLBACK, name)
        assert requests.post(callback, data=data, timeout=60).status_code == 200

    def close(self):
        if self.site.process is not None:
            self.site.end()
        self.cable.cut()


@pytest.fixture
def place(tmp_path, control, broker_url):
    made = Place(tmp_path, control, broker_url)
    yield made
    made.close()


def kinds(reports):
    return [report["kind"] for report in reports]


def assert_in_order(reports):
    numbers = [report["seq"] for report in reports]
    assert numbers == sorted(numbers)


def test_a_site_that_is_cut_off_serves_an_install_and_reports_it_once_and_in_order(place):
    place.begin()
    place.cable.cut()

    assert place.get(Access.SCRIPT, "script").text == SCRIPT.body
    assert place.get(Access.SEED, "user-data").text == SEED.body
    artifact = requests.get(f"{place.site.url}/artifacts/debian/disk.raw", timeout=60)
    assert artifact.content == b"image" * 100
    place.call("started", disk="S1")
    place.call("progress", written="7")
    place.call("installed")
    assert LOCAL in place.get(Access.SCRIPT, "script").text
    assert place.control.reports("installed") == []
    place.cable.mend()

    until(lambda: place.control.reports("installed"))
    told = place.control.reports(
        "script-served", "install-started", "install-progress", "installed"
    )
    assert kinds(told) == ["script-served", "install-started", "install-progress", "installed"]
    assert_in_order(place.control.reports())


@ONE_BROKER
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_a_site_that_restarts_while_cut_off_comes_back_from_its_store(place, how):
    place.begin()
    place.cable.cut()
    place.call("started", disk="S1")

    place.site.end(how)
    place.site.start()
    until(lambda: is_up(place.site))
    assert place.get(Access.SEED, "user-data").text == SEED.body
    place.call("installed")
    place.cable.mend()

    until(lambda: place.control.reports("installed"))
    assert kinds(place.control.reports("install-started", "installed")) == [
        "install-started",
        "installed",
    ]
    assert_in_order(place.control.reports())
    assert {envelope.agent for envelope, _ in place.control.heard} == {place.plan.owner}


@ONE_BROKER
def test_a_site_that_starts_without_its_uplink_serves_and_connects_later(place):
    place.site.start()
    until(lambda: is_up(place.site))

    answer = requests.get(f"{place.site.url}/ipxe/52:54:00:aa:bb:99", timeout=60)
    assert (answer.status_code, STRANGER in answer.text) == (200, True)
    place.cable.mend()

    until(lambda: place.control.of(Kind.HEARTBEAT))


@ONE_BROKER
def test_a_task_that_comes_with_the_cut_is_not_begun_until_control_has_granted_it(place, bmc):
    place.begin()
    place.control.grants = False
    place.control.send(Kind.TASK, a_task(bmc, "power-on"))
    until(lambda: place.control.of(Kind.RENEW))
    place.cable.cut()
    assert bmc.requests == []

    place.control.grants = True
    place.cable.mend()

    until(lambda: place.control.reports("task-done"))
    assert bmc.count("POST", RESET) == 1


@ONE_BROKER
def test_after_a_cut_the_spool_is_told_of_when_it_has_arrived(place):
    place.begin()
    place.cable.cut()
    place.call("started", disk="S1")
    place.cable.mend()
    until(lambda: place.control.reports("install-started"))
    [report] = place.control.reports("install-started")

    until(lambda: place.control.of(Kind.HEARTBEAT)[-1].body["spool"]["last"] == report["seq"])

    spool = place.control.of(Kind.HEARTBEAT)[-1].body["spool"]
    seqs = [report["seq"] for report in place.control.reports()]
    arrived = [seq for seq in seqs if spool["first"] <= seq <= spool["last"]]
    assert (spool["pending"], spool["rows"]) == (0, len(arrived))


@ONE_BROKER
def test_of_two_agents_at_a_site_only_the_owner_gives_authority(place, tmp_path):
    place.begin()
    owner = place.control.agent()
    other = Site(tmp_path / "other", place.control)
    other.start()
    try:
        until(lambda: len({each.agent for each in place.control.of(Kind.REGISTER)}) == 2)
        until(lambda: LOCAL in entry(other, place.plan).text)

        assert "chain" in entry(place.site, place.plan).text
        assert place.get(Access.SCRIPT, "script").text == SCRIPT.body
        assert LOCAL in get(other, place).text
        [told] = {each["machine"] for each in place.control.reports("plan-served")}
        assert told == str(place.plan.machine)
        agents = {each.agent for each in place.control.of(Kind.REGISTER)}
        [silent] = agents - {owner}
        assert place.control.reports("plan-served", agent=silent) == []
    finally:
        other.end()


def entry(site, plan):
    return requests.get(f"{site.url}/ipxe/{plan.mac}", timeout=60)


def get(site, place):
    there = url(place.plan, place.control.key, Access.SCRIPT, "script")
    return requests.get(there.replace(place.site.url, site.url), timeout=60)


def is_up(site):
    try:
        return requests.get(f"{site.url}/healthz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


@ONE_BROKER
def test_a_withdrawal_reaches_the_site_after_the_cut(place):
    place.begin()
    place.cable.cut()
    later = a_plan(
        place.plan.owner,
        machine=place.plan.machine,
        version=2,
        action=Action.LOCAL,
        run=None,
        addressing=HERE,
        boot_base_url=place.site.url,
    )
    place.control.plans = [later]
    place.cable.mend()

    until(lambda: LOCAL in place.get(Access.SCRIPT, "script").text)
