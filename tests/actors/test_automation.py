"""Automation over a real RabbitMQ: who may ask, where an answer may go, what cannot stop it."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pika
import pytest

from actors import broker
from actors.broker_rabbitmq_automation import may_reply
from actors.control import events_relay
from models.messages import AUTOMATION_QUEUE, LIMIT
from models.tables import Audit, Workflow
from tests.actors.automation_lab import DIRECT, GOOD, Asker, is_declared, listening
from tests.actors.lane import until
from tests.models import make

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scene(db, rabbitmq_server):
    with listening(rabbitmq_server.url):
        yield make.Scene()


def ask(url, body, *, user="guest", reply_to=DIRECT, seconds=60):
    """Send *body*, and return the answer that comes within *seconds*."""
    with closing(Asker(url)) as asker:
        asker.ask(body, user_id=user, reply_to=reply_to)
        return next(iter(asker.answers(seconds=seconds)), None)


@pytest.mark.services
def test_a_command_is_done_and_answered_where_it_came_from(scene, rabbitmq_server):
    correlation, answer = ask(rabbitmq_server.url, GOOD)

    assert (correlation, answer["ok"]) == ("c-1", True)
    assert Workflow.get().requested_by == "amqp:guest"


@pytest.mark.services
def test_a_command_without_a_user_is_refused(scene, rabbitmq_server):
    _, answer = ask(rabbitmq_server.url, GOOD, user=None)

    assert answer["problem"]["code"] == "denied"
    assert Audit.select().where(Audit.actor == "amqp:anonymous").count() == 1
    assert not Workflow.select().exists()


@pytest.mark.services
def test_hostile_messages_end_as_dead_letters_and_the_next_is_answered(scene, rabbitmq_server):
    source = broker.dead_letters_of(rabbitmq_server.url)
    before = len(source.peek(1000))
    for body in (b"\xff\x00", b"[" * 100_000, b"[]", b"x" * (LIMIT + 1)):
        assert ask(rabbitmq_server.url, body, seconds=0.1) is None

    _, answer = ask(rabbitmq_server.url, GOOD)

    assert answer["ok"]
    until(lambda: len(source.peek(1000)) == before + 4)


@pytest.mark.services
def test_an_answer_goes_to_no_queue_that_is_not_the_askers(scene, rabbitmq_server):
    assert ask(rabbitmq_server.url, GOOD, reply_to="sprout.control.1", seconds=1) is None

    until(lambda: Workflow.select().exists())
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url)) as connection:
        declared = connection.channel().queue_declare(AUTOMATION_QUEUE, passive=True)
        assert declared.method.message_count == 0


@pytest.mark.parametrize(
    ("reply_to", "user", "may"),
    [
        ("amq.rabbitmq.reply-to.g2dkABByZXBseUAxMjM=", "ci", True),
        ("reply.ci.1", "ci", True),
        ("reply.ci.", "ci", False),
        ("reply.other.1", "ci", False),
        ("reply.ci.1", None, False),
        ("reply..1", "", False),
        ("reply.cix.1", "ci", False),
        ("reply.c.i.1", "c.i", True),
        ("reply.cxi.1", "c.i", False),
        ("reply.c.i.1", "c", False),
        ("reply.c.i", "c", True),
        ("sprout.control.1", "ci", False),
        ("amq.topic", "ci", False),
        ("", "ci", False),
        (None, "ci", False),
    ],
)
def test_an_answer_may_go_to_a_direct_reply_or_a_queue_of_the_askers_own(reply_to, user, may):
    assert may_reply(reply_to, user) is may


@pytest.mark.services
def test_the_examples_command_a_machine_and_hear_of_it(
    scene, rabbitmq_server, database_url, tmp_path
):
    env = os.environ | {"AMQP_URL": rabbitmq_server.url}
    stop, out = threading.Event(), tmp_path / "heard"
    relay = events_relay.thread(database_url, rabbitmq_server.url, stop)
    example = ROOT / "deploy" / "examples"
    with out.open("w") as heard:
        consumer = subprocess.Popen(
            [sys.executable, example / "consume_events.py", "site.ams-1.machine.#"],
            env=env,
            stdout=heard,
        )
    try:
        until(lambda: _bound(rabbitmq_server.url))
        command = [sys.executable, example / "command_machine.py", "machine.power-on", "node-01"]
        answer = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        until(lambda: "sprout.machine.workflow-begun" in out.read_text())
    finally:
        consumer.terminate()
        consumer.wait(60)
        stop.set()
        relay.join(60)

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["ok"]


def _bound(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return is_declared(connection, "events.guest")
