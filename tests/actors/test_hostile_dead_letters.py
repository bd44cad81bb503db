"""What a site's account may write among the dead letters: it may write anything there."""

import json
import secrets
import threading

import pika
import pytest

from actors import broker
from actors.broker_contract import DEAD_LETTERS
from actors.control import morgue
from models import outbox
from models.commands import dead_letters
from models.errors import IllegalTransition
from models.messages import AUTOMATION_QUEUE, LIMIT, REPORT_QUEUE, UPWARD_EXCHANGE
from models.paging import Ask
from models.tables import DeadLetter
from tests.actors.lane import until
from tests.actors.raw_headers import BEYOND_TIME, NO_TEXT, nested
from tests.models import make

pytestmark = pytest.mark.services

FORGED = [
    {},
    {"sprout-queue": 7, "sprout-reason": [], "sprout-detail": {}},
    {"sprout-queue": "\x00", "sprout-reason": "\x00", "sprout-detail": "\x00\n" * 5000},
    {"sprout-queue": NO_TEXT, "sprout-reason": NO_TEXT},
    {"sprout-queue": "q" * 60_000},
    {"x-death": 7},
    {"x-death": []},
    {"x-death": [7]},
    {"x-death": {"queue": "x"}},
    {"x-death": [{"queue": 7, "reason": None, "time": "noon"}]},
    {"x-death": [{"time": BEYOND_TIME}]},
    {"x": nested(3000)},
    {b"\xff": 1},
]


@pytest.fixture
def url(rabbitmq_server):
    broker.declare(rabbitmq_server.url, [REPORT_QUEUE])
    broker.dead_letters_of(rabbitmq_server.url).move(lambda _: None, 1000)
    return rabbitmq_server.url


@pytest.fixture
def say(url, raw_headers):
    """How a site's account says it."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        def said(body, **properties):
            told = pika.BasicProperties(**properties)
            channel.basic_publish(UPWARD_EXCHANGE, DEAD_LETTERS, body, told, mandatory=True)

        yield said


@pytest.fixture
def kept(db, url, monkeypatch):
    """What control keeps of it, by body."""
    monkeypatch.setattr(morgue, "LOOK_S", 0.1)
    stop = threading.Event()
    thread = morgue.thread(url, stop)
    yield lambda: {letter.body: letter for letter in dead_letters.listed(ask=Ask(limit=100))}
    stop.set()
    thread.join(60)


def test_whatever_stands_in_a_dead_letter_it_is_kept_and_so_is_the_next(say, kept):
    bodies = [secrets.token_bytes(16) for _ in FORGED]

    for body, headers in zip(bodies, FORGED, strict=True):
        say(body, headers=headers)
    say(b"last", timestamp=2**64 - 1, message_id=b"\xff", headers={"sprout-queue": "q"})

    until(lambda: kept().keys() == {*bodies, b"last"})
    assert kept()[b"last"].queue == "q"
    assert max(len(letter.detail) for letter in kept().values()) <= 500


@pytest.mark.parametrize(
    ("queue", "body"),
    [
        ("amq.rabbitmq.trace", b"{}"),
        ("", b"{}"),
        ("../x", b"{}"),
        ("Q", b"{}"),
        ("q" * 61, b"{}"),
        (AUTOMATION_QUEUE, b"{}"),
        (REPORT_QUEUE, b"x" * (LIMIT + 1)),
        (REPORT_QUEUE, json.dumps({"options": {"expires_at": 1}}).encode()),
    ],
)
def test_what_would_stop_the_outbox_or_speak_for_another_is_not_sent_again(say, kept, queue, body):
    say(body, headers={"sprout-queue": queue, "sprout-reason": "rejected"})
    until(kept)

    with pytest.raises(IllegalTransition):
        dead_letters.replay(make.ADA, kept()[body[:LIMIT]].id)

    assert outbox.drain(lambda batch: None) == 0
    assert DeadLetter.get().replayed_at is None


def test_what_a_worker_can_take_is_sent_again(say, kept):
    say(b"{}", headers={"sprout-queue": REPORT_QUEUE, "sprout-reason": "rejected"})
    until(kept)

    dead_letters.replay(make.ADA, kept()[b"{}"].id)

    assert outbox.drain(lambda batch: None) == 1
