"""What strangers may send to `sprout.automation`: one is refused or dead, all others are heard."""

import json
from contextlib import closing
from uuid import uuid4

import pika
import pytest
import structlog

from actors import broker, broker_rabbitmq_automation
from models.database import borrowed
from models.messages import AUTOMATION_QUEUE, LIMIT
from models.tables import Audit, Workflow
from tests.actors.automation_lab import DIRECT, GOOD, Asker, listening
from tests.actors.lane import until
from tests.actors.raw_headers import BEYOND_TIME, NO_TEXT, nested
from tests.models import make

pytestmark = pytest.mark.services

ODD = "\ud800", "\x00", "a\x00b", "\u202e", "\ud83d"
DEEP = json.loads("[" * 900 + "]" * 900)


@pytest.fixture
def asker(rabbitmq_server):
    with closing(Asker(rabbitmq_server.url)) as made:
        yield made


@pytest.fixture
def scene(db, rabbitmq_server):
    with listening(rabbitmq_server.url):
        yield make.Scene()


def odd_bodies():
    for odd in ODD:
        yield from (GOOD | {name: odd} for name in ("command", "machine", "reason", odd))
        yield GOOD | {"params": {odd: odd}}
        yield {"v": odd, "command": odd, "machine": odd, "workflow": odd}
    yield from (GOOD | {name: DEEP} for name in (*GOOD, "reason", "params", "more"))
    yield from (GOOD | {"v": value} for value in (10**400, 1.5, "1" * 200_000, None))
    yield json.dumps(GOOD).replace("1", "1e999", 1).encode()
    yield b'{"v": 1, "machine": "\xed\xa0\x80"}'


def test_a_command_with_what_is_no_text_is_refused_and_the_next_is_done(scene, asker):
    bodies = list(odd_bodies())

    for body in bodies:
        asker.ask(body)
    refused = asker.answers(len(bodies))
    asker.ask(GOOD)
    [(_, done)] = asker.answers()

    assert [answer["ok"] for _, answer in refused] == [False] * len(bodies)
    assert done["ok"]
    assert Audit.select().where(Audit.outcome == "refused").count() == len(bodies)
    assert max(len(json.dumps(answer)) for _, answer in refused) < 1000


UNREADABLE = [
    b'{"v": 1, "command": "machine.power-on", "machine": "other", "machine": "node-01"}',
    b'{"v": NaN}',
    b'{"v": -Infinity}',
    b'{"v": ' + b"1" * 5000 + b"}",
    b'{"v": ' + b"[" * 100_000,
    b'{"' + b"x" * LIMIT * 60 + b'": 1}',
]


def test_what_cannot_be_read_in_one_way_only_is_a_dead_letter_and_the_next_is_done(
    scene, asker, rabbitmq_server
):
    source = broker.dead_letters_of(rabbitmq_server.url)
    source.move(lambda _: None, 1000)

    for body in UNREADABLE:
        asker.ask(body)
    asker.ask(GOOD)

    [(_, done)] = asker.answers()
    assert done["ok"]

    def dead():
        return [letter for letter in source.peek(1000) if letter.queue == AUTOMATION_QUEUE]

    until(lambda: len(dead()) == len(UNREADABLE))
    assert max(len(letter.body) for letter in dead()) == LIMIT


FORGED = [
    f"{DIRECT}.AAAA.BBBB",
    f"{DIRECT}.xxx",
    f"{DIRECT}.g2dkABByZXBseUAxMjM=",
    f"{DIRECT}.g1h2AA5yZXBseUA1OTQ4NDE4MAAAAycAAAAAawFKWQ==.gQrCLkEnaZme+M8EHGcocA==",
    "reply.guest.nobody-made-it",
]


@pytest.mark.parametrize("forged", FORGED)
def test_an_answer_to_a_forged_address_is_dropped_and_nobody_else_waits(scene, asker, forged):
    with structlog.testing.capture_logs() as said:
        asker.ask(GOOD, reply_to=forged)
        asker.ask({"v": 2})
        [(_, other)] = asker.answers()

    assert other["problem"]["code"] == "invalid"
    assert Workflow.select().count() == 1
    assert "automation.paused" not in [each["event"] for each in said]


def test_an_answer_comes_on_a_queue_of_the_askers_own(scene, asker, rabbitmq_server):
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("reply.guest.1", exclusive=True)
        asker.ask(GOOD, reply_to="reply.guest.1")
        until(lambda: (got := channel.basic_get("reply.guest.1"))[0] and json.loads(got[2])["ok"])


HEADERS = [{"x": BEYOND_TIME}, {"x": NO_TEXT}, {"x": nested(3000)}, {b"\xff": 1}]
PROPERTIES = [
    {"reply_to": b"\xff\xfe"},
    {"message_id": b"\xff\xfe"},
    {"message_id": "\x00"},
    {"content_type": b"\xff"},
    {"content_encoding": b"\xff"},
    {"type": b"\xff"},
    {"app_id": b"\xff"},
    {"timestamp": 2**64 - 1},
    {"expiration": "100000"},
    *({"headers": each} for each in HEADERS),
]


@pytest.mark.usefixtures("raw_headers")
def test_properties_that_are_no_text_stop_nobody(scene, asker):
    with structlog.testing.capture_logs() as said:
        for properties in PROPERTIES:
            asker.ask({"v": 2}, **properties)
        asker.ask(GOOD, correlation_id=b"\xff\xfe")
        answers = asker.answers(len(PROPERTIES))

    assert answers[-1][0] == b"\xff\xfe"
    assert answers[-1][1]["ok"]
    assert len(answers) == len(PROPERTIES)  # one said no address to answer to
    assert "automation.paused" not in [each["event"] for each in said]


def test_a_fault_of_ours_in_one_command_stops_no_other(scene, asker, monkeypatch):
    def fail(asked, *_):
        if asked == "guest":
            monkeypatch.undo()
            raise ZeroDivisionError

    monkeypatch.setattr("actors.control.automation.obey", fail)

    asker.ask(GOOD)
    asker.ask(GOOD)

    [(_, answer)] = asker.answers()
    assert answer["ok"]


def test_while_the_database_is_away_commands_wait_and_are_then_done_once(
    database_url, postgres, rabbitmq_server, asker, monkeypatch
):
    monkeypatch.setattr(broker_rabbitmq_automation, "PAUSE_S", 0.05)
    with borrowed():
        make.Scene()
    twice = str(uuid4())
    with listening(rabbitmq_server.url), structlog.testing.capture_logs() as said:
        postgres.stop()
        asker.ask(GOOD, message_id=twice)
        asker.ask(GOOD, message_id=twice)
        asker.ask({"v": 2})
        # More often than a message is delivered before it counts as poison.
        until(lambda: [each["event"] for each in said].count("automation.waiting") > 10)
        postgres.start()
        answers = [answer for _, answer in asker.answers(3)]

    assert [answer["ok"] for answer in answers] == [True, True, False]
    assert answers[0] == answers[1]
    with borrowed():
        assert Workflow.select().count() == 1
