"""What logs hold of messages that nobody could work on."""

import json
import logging
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.middleware import SkipMessage
from structlog.testing import capture_logs

from actors.broker_contract import Delivery, QueueConsumer, Reason, Unworkable
from actors.mourning import EACH_S, MOST_SITES, SAID, Seldom, mourn
from models.errors import Denied
from tests.actors.lane import until

PLANTED = "what-a-stranger-wrote" * 1000
WHY = Unworkable(Reason.REJECTED, "no")


class Graveyard:
    """Mourns on a clock that the test turns."""

    def __init__(self):
        self.now = 100.0
        self.seldom = Seldom(lambda: self.now)

    def lines(self, *sites, reason=WHY):
        with capture_logs() as lines:
            for site in sites:
                body = {"kwargs": {"message": {"envelope": {"site": str(site)}}}}
                mourn("q.1", json.dumps(body).encode(), reason, self.seldom)
        return [(line["event"], line.get("count")) for line in lines]


@pytest.fixture
def graveyard():
    return Graveyard()


DEAD, UNSAID = ("queue.dead-letter", None), "queue.dead-letters-unsaid"


def test_of_many_deaths_of_one_site_a_few_are_told_and_then_how_many_there_were(graveyard):
    noisy = uuid4()

    assert graveyard.lines(*[noisy] * 50) == [DEAD] * SAID
    graveyard.now += EACH_S

    assert graveyard.lines(noisy) == [(UNSAID, 50 - SAID), DEAD]


def test_a_noisy_site_does_not_drown_another(graveyard):
    graveyard.lines(*[uuid4()] * 50)

    assert graveyard.lines(uuid4()) == [DEAD]


def test_claiming_to_be_ever_another_site_makes_no_more_lines(graveyard):
    lines = graveyard.lines(*[uuid4() for _ in range(MOST_SITES * 10)])

    assert len(lines) <= MOST_SITES + SAID


def test_what_names_no_site_is_told_of_too(graveyard):
    with capture_logs() as lines:
        mourn("q.1", b"\xff{", WHY, graveyard.seldom)

    assert [line["bytes"] for line in lines] == [2]


def test_a_delivery_is_written_without_what_is_in_it():
    message = dramatiq.Message("q.1", "work", (PLANTED,), {"x": PLANTED}, {}, message_id="m-1")
    delivery = Delivery(message, QueueConsumer(), 1, message.encode())

    assert PLANTED[:20] not in f"{delivery} {delivery!r} {[delivery]}"
    assert str(delivery) == f"m-1 for work ({len(delivery.body)} bytes)"


@pytest.mark.services
@pytest.mark.parametrize("error", [Denied("not yours"), SkipMessage("no"), RuntimeError("broken")])
def test_no_log_line_holds_what_a_message_holds(lane, caplog, error):
    worked = []

    def work(given):
        worked.append(given)
        raise error

    with caplog.at_level(logging.INFO), capture_logs() as ours, lane.working(work):
        lane.send(lane.message(PLANTED))
        until(lambda: worked)

    assert PLANTED[:20] not in caplog.text + str(ours)


@pytest.mark.services
def test_what_the_domain_refuses_leaves_no_trace_in_the_log(lane, caplog):
    def work(given):
        raise Denied("not yours")

    with caplog.at_level(logging.WARNING), lane.working(work):
        lane.send(lane.message("x"))
        letter = lane.last_dead()

    assert (letter.reason, letter.detail) == ("rejected", "Denied: not yours")
    assert "Traceback" not in caplog.text
