"""Hostile messages to control: each ends as a dead letter that says why, and work goes on."""

import json
import secrets
import time
from collections import Counter
from contextlib import closing
from uuid import uuid4

import dramatiq
import pika
import pytest

from actors import broker
from models import messages
from models.commands import agents, dead_letters
from models.errors import IllegalTransition
from models.messages import (
    LEASE_QUEUE,
    LIMIT,
    REPORT_QUEUE,
    Actor,
    Envelope,
    Kind,
    agent_queue,
    encoded,
    sealed,
)
from models.tables import Agent
from tests.actors.control_process import ControlProcess
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


class Attacker:
    """Holds the keys of one site, and says what it likes on *queue*."""

    def __init__(self, queue, actor, kind):
        self.queue, self.actor, self.kind = queue, actor, kind
        self.site, self.other = make.site(f"a{uuid4().hex[:6]}"), make.site(f"b{uuid4().hex[:6]}")
        self.key, self.others_key = map(agents.signing_key, (self.site, self.other))
        self.agent = uuid4()

    def letter(self, *, key=None, site=None, queue=None, actor=None, kind=None, body=None):
        """Return a message of this site, with what is wrong about it."""
        envelope = Envelope(
            kind=kind or self.kind, site=site or self.site, agent=self.agent, body=body or {}
        )
        message = {"message": sealed(envelope, key or self.key)}
        return encoded(actor or self.actor, queue or self.queue, message, now=time.time())

    def bent(self, **fields):
        """Return a message whose envelope has *fields*, signed as it then is."""
        envelope = Envelope(kind=self.kind, site=self.site, agent=self.agent)
        body = sealed(envelope, self.key)["envelope"] | fields
        signature = messages._signature(body, self.key)
        signed = {"message": {"envelope": body, "signature": signature}}
        return encoded(self.actor, self.queue, signed, now=time.time())

    def outer(self, **fields):
        return json.dumps(json.loads(self.letter()) | fields).encode()


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = {
    "unsigned": (lambda a: a.letter(key=b"none"), "rejected", "Denied"),
    "signed by another site": (lambda a: a.letter(key=a.others_key), "rejected", "Denied"),
    "for another site": (lambda a: a.letter(site=a.other), "rejected", "Denied"),
    "for no site": (lambda a: a.letter(site=uuid4()), "rejected", "NotFound"),
    "unknown actor": (lambda a: a.outer(actor_name="root"), "unknown-actor", "root"),
    "control's own actor": (lambda a: a.outer(actor_name="advance"), "unknown-actor", "advance"),
    "unsupported version": (lambda a: a.bent(v=99), "rejected", "version 99"),
    "unknown kind": (lambda a: a.bent(kind="reign"), "rejected", "Invalid"),
    "another's kind": (lambda a: a.letter(kind=Kind.TASK), "rejected", "Invalid"),
    "not JSON": (lambda a: b"\x00\xff{", "malformed", "not JSON"),
    "deep JSON": (lambda a: b'{"kwargs":' + b"[" * 100_000, "malformed", "not JSON"),
    "deep body": (lambda a: a.bent(body={"reports": deep(400), "tasks": deep(400)}), None, ""),
    "a body that is none": (lambda a: a.bent(body=7), "rejected", ""),
    "an agent that is none": (lambda a: a.bent(agent={"$ne": 1}), "rejected", "Invalid"),
    "a site that is none": (lambda a: a.bent(site=["x"]), "rejected", "Invalid"),
    "an epoch that is none": (lambda a: a.bent(epoch="x" * 50), "rejected", "Invalid"),
    "no message": (lambda a: a.outer(kwargs={}), "rejected", "TypeError"),
    "a message that is none": (lambda a: a.outer(kwargs={"message": [1]}), "rejected", ""),
    "arguments too many": (lambda a: a.outer(args=[1, 2]), "rejected", "TypeError"),
    "an id of megabytes": (lambda a: a.outer(message_id="x" * 70_000), "malformed", "no id"),
    "a delay": (lambda a: a.outer(options={"eta": 1}), "malformed", "delayed"),
    "past its age": (lambda a: a.outer(options={"expires_at": 1}), "expired", "too late"),
}

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


def hostile(attacker, bodies):
    """Return each message with the reason that its dead letter must give, None: any, or none."""
    made = {name: (make_(attacker), *why) for name, (make_, *why) in HOSTILE.items()}
    for name, (kind, body) in bodies.items():
        made[name] = (attacker.letter(kind=kind, body=body), "rejected", "")
    return made


def test_control_tells_why_and_works_on(control, broker_url):
    attackers = [Attacker(queue, actor, kind) for queue, (actor, kind, _) in SAYS.items()]
    bad = {
        (attacker.queue, name): why
        for attacker in attackers
        for name, why in hostile(attacker, SAYS[attacker.queue][2]).items()
    }
    flood = [each.letter(key=b"none") for each in attackers for _ in range(OFTEN)]

    publisher = broker.publisher_for(broker_url)
    publisher.publish([(queue, body) for (queue, _), (body, *_) in bad.items()])
    publisher.publish([(json.loads(body)["queue_name"], body) for body in flood])
    publisher.close()

    assert worked_on(attackers[0], broker_url)
    wanted = {name: why for name, why in bad.items() if why[1] is not None}
    expected = {(queue, body) for (queue, _), (body, *_) in wanted.items()}
    until(lambda: expected <= kept().keys() and len(kept()) >= len(wanted) + len(flood), seconds=30)
    letters = kept()
    for (queue, name), (body, reason, detail) in wanted.items():
        assert letters[queue, body].reason == reason, name
        assert detail in letters[queue, body].detail, name
    assert Counter(control.events())["worker.started"] == 1


def kept():
    return {(letter.queue, letter.body): letter for letter in dead_letters.listed(limit=5000)}


def worked_on(attacker, broker_url):
    """Whether good messages of the same site are taken after all of that."""
    body = {"hostname": "good", "incarnation": "i", "capabilities": []}
    hello = attacker.letter(kind=Kind.REGISTER, queue=REPORT_QUEUE, actor=Actor.REPORT, body=body)
    renewal = attacker.letter(
        kind=Kind.RENEW, queue=LEASE_QUEUE, actor=Actor.RENEW, body={"n": 77, "tasks": []}
    )
    publisher = broker.publisher_for(broker_url)
    publisher.publish([(REPORT_QUEUE, hello), (LEASE_QUEUE, renewal)])
    publisher.close()
    until(lambda: Agent.select().where(Agent.hostname == "good").exists(), seconds=30)
    return heard(broker_url, agent_queue(attacker.site, attacker.agent), '"n":77')


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
