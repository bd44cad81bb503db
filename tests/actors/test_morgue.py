"""Dead letters on their way from each broker into the database, and back to work."""

import json
import threading

import pytest

from actors import broker
from actors.control import morgue
from models import outbox
from models.commands import dead_letters
from models.paging import Ask
from tests.actors.lane import until
from tests.models import make

pytestmark = pytest.mark.services


def hostile(lane):
    good = json.loads(lane.message())
    return {
        "not JSON": b"\xff\xfe",
        "no object": b"[1]",
        "deep": b"[" * 50_000,
        "unknown actor": lane.message(actor="nobody"),
        "wrong types": json.dumps(good | {"kwargs": 7}).encode(),
        "no id": json.dumps(good | {"message_id": "\n"}).encode(),
        "delayed": json.dumps(good | {"options": {"eta": 1}}).encode(),
    }


def test_what_nobody_can_work_on_ends_in_the_database_and_good_work_goes_on(lane, db):
    bodies = hostile(lane)
    stop = threading.Event()
    with lane.hear() as heard:
        lane.send(*bodies.values(), lane.message("good"))
        thread = morgue.thread(lane.url, stop)
        assert heard.get(timeout=60) == "good"
        until(lambda: len(of(lane)) == len(bodies))
    stop.set()
    thread.join(60)

    assert {letter.body for letter in of(lane)} == set(bodies.values())
    assert {letter.reason for letter in of(lane)} == {"malformed", "unknown-actor"}
    assert lane.dead() == []


def test_what_is_sent_again_is_worked_on(lane, db):
    broken = threading.Event()

    def work(word):
        if not broken.is_set():
            broken.set()
            raise RuntimeError
        mended.append(word)

    mended = []
    with lane.working(work):
        lane.send(lane.message("again"))
        until(lane.dead)
        broker.dead_letters_of(lane.url).move(morgue.keep, 100)
        [letter] = of(lane)
        dead_letters.replay(make.ADA, letter.id)
        outbox.drain(lane.publisher.publish)
        until(lambda: mended)

    assert mended == ["again"]


def test_a_letter_that_could_not_be_kept_stays_where_it_was(lane, db):
    with lane.hear():
        lane.send(b"broken")
        until(lane.dead)

    def fail(letters):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        broker.dead_letters_of(lane.url).move(fail, 100)

    until(lane.dead)


def of(lane):
    return [
        letter for letter in dead_letters.listed(ask=Ask(limit=500)) if letter.queue == lane.queue
    ]
