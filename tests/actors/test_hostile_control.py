"""Hostile messages to control: each ends as a dead letter that says why, and work goes on."""

import secrets
from collections import Counter
from contextlib import closing
from uuid import uuid4

import dramatiq
import pika
import pytest

from actors import broker
from models.commands import agents, dead_letters
from models.errors import IllegalTransition
from models.messages import (
    LEASE_QUEUE,
    LIMIT,
    REPORT_QUEUE,
    Actor,
    Kind,
    agent_queue,
)
from models.paging import Ask
from models.tables import Agent
from tests.actors.control_process import ControlProcess
from tests.actors.hostile_letters import Attacker, hostile, wrong
from tests.actors.lane import until
from tests.models import make

pytestmark = pytest.mark.services

OFTEN = 200


@pytest.fixture(params=["rabbitmq", "postgres"])
def broker_url(request, db):
    return request.getfixturevalue("rabbitmq_server").url if request.param == "rabbitmq" else db


@pytest.fixture
def control(tmp_path, db, broker_url):
    made = ControlProcess(tmp_path, db, broker_url)
    made.start()
    yield made
    assert made.lives, made.log.read_text()[-3000:]
    assert made.end() == 0


BODIES = {
    "reports that are none": (Kind.OBSERVATIONS, {"incarnation": "i", "reports": 7}),
    "a report that is none": (Kind.OBSERVATIONS, {"incarnation": "i", "reports": [7]}),
    "an endless incarnation": (
        Kind.OBSERVATIONS,
        {
            "incarnation": secrets.token_hex(20_000),
            "reports": [{"seq": 1, "kind": "installed", "source": "agent", "at": 1, "data": {}}],
        },
    ),
    "a number beyond all": (
        Kind.OBSERVATIONS,
        {
            "incarnation": "i",
            "reports": [{"seq": 2**70, "kind": "installed", "source": "agent", "at": 1}],
        },
    ),
    "no clock": (Kind.HEARTBEAT, {"clock": "noon"}),
    "an infinite clock": (Kind.HEARTBEAT, {"clock": float("inf")}),
    "a name with a zero": (Kind.REGISTER, {"hostname": "\x00"}),
    "no capabilities": (Kind.REGISTER, {"capabilities": 5}),
}

RENEWALS = {
    "tasks that are none": (Kind.RENEW, {"n": 1, "tasks": 5}),
    "a task that is none": (Kind.RENEW, {"n": 1, "tasks": [{"task": "x"}]}),
    "no number": (Kind.RENEW, {"n": "x", "tasks": []}),
}


SAYS = {
    REPORT_QUEUE: (Actor.REPORT, Kind.HEARTBEAT, BODIES),
    LEASE_QUEUE: (Actor.RENEW, Kind.RENEW, RENEWALS),
}


def attacker(queue):
    """Return one who holds the keys of two sites of ours."""
    sites = [make.site(f"s{uuid4().hex[:8]}") for _ in range(2)]
    actor, kind, _ = SAYS[queue]
    keys = {site: agents.signing_key(site) for site in sites}
    return Attacker(queue, actor, kind, keys=keys)


def test_control_tells_why_and_works_on(control, broker_url):
    attackers = [attacker(queue) for queue in SAYS]
    bad = [each for one in attackers for each in hostile(one, SAYS[one.queue][2])]
    bad += [attackers[0].bad("flood", {"key": b"none"}, "Denied") for _ in range(OFTEN)]

    publisher = broker.publisher_for(broker_url)
    publisher.publish([(each.queue, each.body) for each in bad])
    publisher.close()

    assert worked_on(attackers[0], broker_url)
    assert wrong(bad, kept) == {}
    assert Counter(control.events())["worker.started"] == 1


def kept():
    return {
        (letter.queue, letter.body): letter for letter in dead_letters.listed(ask=Ask(limit=5000))
    }


def worked_on(one, broker_url):
    """Whether good messages of the same site are taken after all of that."""
    body = {"hostname": "good", "incarnation": "i", "capabilities": []}
    hello = one.letter(kind=Kind.REGISTER, queue=REPORT_QUEUE, actor=Actor.REPORT, body=body)
    renewal = one.letter(
        kind=Kind.RENEW, queue=LEASE_QUEUE, actor=Actor.RENEW, body={"n": 77, "tasks": []}
    )
    publisher = broker.publisher_for(broker_url)
    publisher.publish([(REPORT_QUEUE, hello), (LEASE_QUEUE, renewal)])
    publisher.close()
    until(lambda: Agent.select().where(Agent.hostname == "good").exists(), seconds=60)
    return heard(broker_url, agent_queue(one.site, one.agent), '"n":77')


def heard(broker_url, queue, text):
    """Whether a message that holds *text* comes to *queue*, which an agent would read."""
    queues = broker.broker_for(broker_url, queues=[queue], consume=True)
    dramatiq.actor(print, actor_name=Actor.COMMAND.value, queue_name=queue, broker=queues)
    consumer = queues.consume(queue, prefetch=8, timeout=100)
    with closing(queues), closing(consumer):
        until(lambda: (came := next(consumer)) is not None and text.encode() in came.body)
    return True


@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_of_a_body_over_the_limit_only_the_head_is_kept(control, broker_url):
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        body = secrets.token_bytes(LIMIT * 4)
        connection.channel().basic_publish("", REPORT_QUEUE, body)

    until(lambda: (REPORT_QUEUE, body[:LIMIT]) in kept())
    letter = kept()[REPORT_QUEUE, body[:LIMIT]]

    assert letter.reason == "oversize"
    assert f"{len(body)} bytes" in letter.detail
    with pytest.raises(IllegalTransition, match="cut"):
        dead_letters.replay(make.ADA, letter.id)
