"""Automation over a real RabbitMQ: who may ask, where an answer may go, what cannot stop it."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from actors import broker
from actors.broker_rabbitmq_automation import may_reply
from actors.control import automation, events_relay
from models import roles
from models.messages import AUTOMATION_QUEUE, LIMIT
from models.tables import Audit, Workflow
from tests.actors.lane import until
from tests.models import make

ROOT = Path(__file__).parents[2]
GRANTS = roles.parsed("guest=operator")
GOOD = {"v": 1, "command": "machine.power-on", "machine": "node-01"}


@pytest.fixture
def scene(db, rabbitmq_server):
    broker.declare(rabbitmq_server.url, [])
    stop = threading.Event()
    thread = automation.thread(rabbitmq_server.url, GRANTS, stop)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url)) as connection:
        until(lambda: _declared(connection))
        yield make.Scene()
    stop.set()
    thread.join(10)


def _declared(connection):
    channel = connection.channel()
    try:
        channel.queue_declare(AUTOMATION_QUEUE, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    channel.close()
    return True


def ask(url, body, *, user="guest", reply_to="amq.rabbitmq.reply-to", seconds=10):
    """Send *body*, and return the answer that comes within *seconds*."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        answers = []
        direct = "amq.rabbitmq.reply-to"
        channel.basic_consume(direct, lambda *got: answers.append(got), auto_ack=True)
        properties = pika.BasicProperties(
            user_id=user, message_id=str(uuid4()), reply_to=reply_to, correlation_id="c-1"
        )
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        channel.basic_publish("", AUTOMATION_QUEUE, content, properties)
        until_s = time.monotonic() + seconds
        while not answers and time.monotonic() < until_s:
            connection.process_data_events(time_limit=0.1)
    return next(((got[2].correlation_id, json.loads(got[3])) for got in answers), None)


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
        consumer.wait(10)
        stop.set()
        relay.join(10)

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["ok"]


def _bound(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare("events.guest", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True
