"""Files that are fetched: slow, impossible for now, or by a URL that has run out."""

import os
import threading
from dataclasses import replace

import pytest

from actors.site import admission
from actors.site.apart import Apart
from actors.site.artifacts import Unfetched, Unservable
from actors.site.desk import Desk
from actors.site.store import AgentStore, Links
from models.bootplan import Action, File
from tests.actors.lane import until
from tests.actors.site_lab import Folder, a_plan

SHA = "ab" * 32
URLS = {SHA: "http://edge/v1/blobs/x?until=1"}


class Shelf:
    """Admits as the test says, and keeps what it was asked for."""

    def __init__(self):
        self.asked = []
        self.does = lambda file, url: None
        self.far = Apart(1)

    def admit(self, file, url=None, elsewhere=None):
        self.asked.append((file.path, url))
        self.does(file, url)


class Lab:
    def __init__(self, path):
        self.site, self.shelf, self.refreshed = Folder(path), Shelf(), 0
        self.site.journal.mark_ready("http", os.getpid())
        self.restart()

    def restart(self):
        self.store = AgentStore(self.site.path)
        self.desk = Desk(self.store, self.site.plans, self.site.journal, self.shelf, {"http"})
        self.desk.admissions.refresh = self.refresh

    def refresh(self):
        self.refreshed += 1

    def plan(self, path="disk", number=1):
        file = File(role="image", path=path, sha256=SHA, size=1)
        return a_plan(self.store.agent, file, mac=f"52:54:00:aa:bb:{number:02x}")

    def settled(self, *kinds):
        def looked():
            self.desk.settle_all()
            return self.site.kinds() == list(kinds)

        until(looked)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "RETRY_S", 0.01)
    made = Lab(tmp_path)
    yield made
    made.desk.admissions.close()
    made.store.close()
    made.site.close()


def test_a_file_is_admitted_with_the_url_that_came_with_its_plan(lab):
    lab.desk.receive([lab.plan()], links=Links(URLS))

    lab.settled("plan-served")

    assert lab.shelf.asked[0] == ("disk", URLS[SHA])


def test_a_file_that_takes_long_delays_no_other_plan(lab):
    go_on = threading.Event()
    lab.shelf.does = lambda file, url: file.path == "large" and go_on.wait(20)
    local = replace(lab.plan(number=2), action=Action.LOCAL, owner=None, run=None, files=())

    lab.desk.receive([lab.plan("large"), local])
    lab.settled("plan-withdrawn")
    go_on.set()

    lab.settled("plan-withdrawn", "plan-served")


def test_what_cannot_be_had_now_is_tried_again_and_its_plan_is_not_refused(lab):
    def away(file, url):
        if len(lab.shelf.asked) < 3:
            raise Unfetched("the edge is away")

    lab.shelf.does = away

    lab.desk.receive([lab.plan()], links=Links(URLS))

    lab.settled("artifact-awaited", "plan-served")
    assert (len(lab.shelf.asked), lab.refreshed) == (3, 0)
    assert lab.site.seen()[0][1]["reason"] == "the edge is away"


def test_when_its_url_ran_out_control_is_asked_once_and_the_new_one_is_tried(lab):
    def expired(file, url):
        if url != "new":
            raise Unfetched("403", expired=True)

    lab.shelf.does = expired
    plan = lab.plan()
    lab.desk.receive([plan], links=Links(URLS))
    until(lambda: lab.desk.settle_all() or lab.refreshed)
    until(lambda: lab.desk.settle_all() or len(lab.shelf.asked) > 2)
    assert (lab.refreshed, lab.store.received()) == (1, (plan,))

    lab.desk.receive([plan], links=Links({SHA: "new"}))

    lab.settled("plan-served")


def test_a_file_that_is_not_what_was_promised_refuses_its_plan(lab):
    def wrong(file, url):
        raise Unservable("another checksum")

    lab.shelf.does = wrong

    lab.desk.receive([lab.plan()])

    lab.settled("plan-refused")
    assert lab.store.received() == ()


def test_urls_outlive_a_restart_and_end_with_the_plans_that_wait(lab):
    lab.desk.receive([lab.plan()], links=Links(URLS))

    lab.restart()
    assert lab.store.links() == Links(URLS)
    lab.settled("plan-served")

    assert lab.store.links() == Links()


def test_a_plan_that_was_overtaken_is_fetched_for_no_more(lab):
    asked, go_on = threading.Event(), threading.Event()

    def slow(file, url):
        asked.set()
        go_on.wait(20)

    lab.shelf.does = slow
    plan = lab.plan()
    lab.desk.receive([plan])
    until(lambda: lab.desk.settle_all() or asked.is_set())

    later = replace(plan, version=2, action=Action.LOCAL, owner=None, run=None, files=())
    lab.desk.receive([later])
    lab.settled("plan-withdrawn")
    go_on.set()

    assert lab.desk.settle_all() is False
    assert lab.site.plans.by_machine(plan.machine).plan == later
