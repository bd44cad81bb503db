"""Errands of one lane: one at a time, whichever process takes them, and no longer than it must."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import uuid4

import pytest

from models.commands import errands, outcomes
from models.database import borrowed
from models.errands import QUIET_S, Ended
from models.errands import Errand as Name
from models.tables import Errand
from tests.models import make

pytestmark = pytest.mark.services

EVERY = tuple(Name)
RUN = Name.INTEGRATION_RUN
DONE = Ended(done=True)
PASSING = Ended(done=False, reason="answers 503", retryable=True)


@pytest.fixture(autouse=True)
def _ends(monkeypatch):
    monkeypatch.setattr(outcomes, "ENDS", {})


def asked(key, lane="cluster", tries=1):
    return errands.ask(RUN, uuid4(), key, params={}, deadline_s=60, tries=tries, lane=lane)


def taken():
    held = errands.take(EVERY)
    return None if held is None else held.key


def settle(held, ended=DONE):
    assert outcomes.settle(held, ended, make.render)


def ago(errand, column, seconds):
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    Errand.update({column: then}).where(Errand.id == errand).execute()


def test_those_of_a_lane_are_taken_one_after_another_in_the_order_they_were_asked_for(db):
    for key in "abc":
        asked(key)

    order = []
    while (held := errands.take(EVERY)) is not None:
        assert errands.take(EVERY) is None
        order.append(held.key)
        settle(held)

    assert order == ["a", "b", "c"]


def test_a_busy_lane_holds_up_nothing_else(db):
    asked("a")
    asked("b")
    asked("c", lane="another")
    asked("d", lane="")
    asked("e", lane="")

    assert [taken() for _ in range(5)] == ["a", "c", "d", "e", None]


def test_one_whose_doer_died_is_taken_again_before_the_next_of_its_lane(db):
    first = asked("a")
    asked("b")
    errands.take(EVERY)
    ago(first, "wake_at", 1)

    assert (taken(), taken()) == ("a", None)


def test_one_that_is_given_back_is_the_lane_s_still(db):
    asked("a")
    asked("b")
    errands.give_back(errands.take(EVERY))

    assert (taken(), taken()) == ("a", None)


def test_while_one_rests_before_its_next_try_another_of_its_lane_is_done(db):
    asked("a", tries=2)
    asked("b")
    settle(errands.take(EVERY), PASSING)

    assert taken() == "b"


def test_one_that_was_given_up_while_it_ran_has_its_lane_until_nothing_comes_of_it(db):
    first = asked("a")
    asked("b")
    errands.take(EVERY)
    Errand.update(state="abandoned", finished_at=datetime.now(UTC)).where(
        Errand.id == first
    ).execute()

    assert taken() is None
    ago(first, "finished_at", QUIET_S + 1)
    assert taken() == "b"


def test_one_that_was_given_up_before_it_ran_leaves_its_lane_at_once(db):
    first = asked("a")
    asked("b")
    Errand.update(state="abandoned", finished_at=datetime.now(UTC)).where(
        Errand.id == first
    ).execute()

    assert taken() == "b"


def test_of_many_processes_at_the_same_moment_one_gets_one(database_url):
    with borrowed():
        for number in range(6):
            asked(f"k{number}")
    ready, found = Barrier(6), []

    def take():
        with borrowed():
            ready.wait(60)
            found.append(taken())

    threads = [Thread(target=take) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert len([key for key in found if key is not None]) == 1
    with borrowed():
        assert Errand.select().where(Errand.state == "running").count() == 1
