"""The runner of errands on real servers: bounded, renewed, and killed in the middle."""

import threading
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from actors.control import errands as runner
from actors.drivers.errors import LeaseLost, Refused, Unreachable
from models.commands import errands, outcomes
from models.database import borrowed
from models.errands import Errand as Name
from models.tables import Errand
from tests.actors.lane import until

pytestmark = pytest.mark.services

RUN = Name.INTEGRATION_RUN


def asked(key="k", tries=1, name=RUN, deadline_s=60):
    more = {"deadline_s": deadline_s, "tries": tries, "backoff_s": 0}
    with borrowed():
        return errands.ask(name, uuid4(), key, params={}, **more)


def row(errand):
    with borrowed():
        return Errand.get_by_id(errand)


def ended(errand):
    return lambda: row(errand).finished_at is not None


@pytest.fixture
def running(database_url):
    """Return a function that starts a runner whose errands are done by what it is given."""
    stop, threads = threading.Event(), []

    def start(doer, places=4, stop=stop):
        made = runner.Runner(runner.Means(), {RUN: doer}, places=places)
        thread = threading.Thread(target=made.run, args=(stop,))
        thread.start()
        threads.append(thread)
        return thread

    with capture_logs():  # to show a fault for people to read takes seconds of a busy machine
        yield start
        stop.set()
        for thread in threads:
            thread.join(60)


def test_an_errand_is_done_and_what_it_found_is_kept(running):
    errand = asked()

    running(lambda job, _means: {"key": job.held.key})
    until(ended(errand))

    assert (row(errand).state, row(errand).result) == ("done", {"key": "k"})


@pytest.mark.parametrize(
    ("fault", "tries", "words"),
    [
        (Refused("answers 422"), 1, "answers 422"),
        (Unreachable("answers 503"), 3, "answers 503"),
        (KeyError("k"), 3, "a fault of control's own, KeyError: see its log"),
    ],
)
def test_a_fault_is_tried_again_where_it_may_pass(running, fault, tries, words):
    calls = []

    def failing(_job, _means):
        calls.append(1)
        raise fault

    errand = asked(tries=3)
    running(failing)
    until(ended(errand))

    assert (len(calls), row(errand).state, row(errand).detail) == (tries, "failed", words)


def test_what_the_database_will_not_have_ends_the_errand_with_words(running):
    errand = asked(tries=3)

    running(lambda _job, _means: {"name": "a\0b"})
    until(ended(errand))

    assert row(errand).state == "failed"
    assert "cannot be recorded" in row(errand).detail


def test_no_more_than_its_places_run_at_once_and_all_are_done(running):
    at_once, most, lock, full = [0], [0], threading.Lock(), threading.Event()

    def counted(_job, _means):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            if most[0] == 3:
                full.set()
        full.wait(60)
        threading.Event().wait(0.05)
        with lock:
            at_once[0] -= 1
        return {}

    made = [asked(key=f"k{n}") for n in range(12)]
    running(counted, places=3)
    for errand in made:
        until(ended(errand))

    assert most[0] == 3


def test_a_runner_that_ends_lets_go_of_what_hangs_and_another_does_it(running, monkeypatch):
    monkeypatch.setattr(runner, "GRACE_S", 0.1)
    begun, release, seen = threading.Event(), threading.Event(), []

    def hanging(job, _means):
        seen.append(job.held.key)
        begun.set()
        release.wait(60)
        with pytest.raises(LeaseLost):
            job.check()
        return {"by": "the first"}

    errand, stop = asked(), threading.Event()
    first = running(hanging, stop=stop)
    begun.wait(60)
    stop.set()
    first.join(60)
    running(lambda job, _means: {"by": "the second"})
    until(ended(errand))
    release.set()

    assert (row(errand).result, row(errand).fence) == ({"by": "the second"}, 2)


def test_a_doer_is_told_when_its_errand_is_given_up(running, monkeypatch):
    monkeypatch.setattr(runner, "RENEW_S", 0.0)
    begun, told = threading.Event(), threading.Event()

    def waiting(job, _means):
        begun.set()
        while not job.lost.wait(0.05):
            pass
        told.set()
        job.check()

    errand = asked()
    running(waiting)
    begun.wait(60)
    with borrowed():
        errands.drop(row(errand).subject, RUN)

    assert told.wait(60)
    assert row(errand).state == "abandoned"


def test_an_errand_whose_end_cannot_be_recorded_rests_and_stops_no_other(running, monkeypatch):
    seen = []

    def spoiled(subject, _ended):
        seen.append(subject)
        raise KeyError("what nobody foresaw")

    monkeypatch.setattr(runner, "REST_S", 600)
    monkeypatch.setattr(outcomes, "ENDS", {Name.PROVIDER_HEALTH: spoiled})
    late = [asked(name=Name.PROVIDER_HEALTH, key=f"k{n}", deadline_s=-1) for n in range(2)]
    running(lambda _job, _means: {})
    for n in range(3):
        good = asked(key=f"good{n}")
        until(ended(good))

    assert sorted(seen) == sorted(row(each).subject for each in late)
    assert [row(each).finished_at for each in late] == [None, None]
