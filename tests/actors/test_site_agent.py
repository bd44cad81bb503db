import threading
import time
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from uuid import uuid4

import pytest

from actors.broker_contract import ConnectionLost, Unworkable
from actors.drivers.reach import Rules
from actors.site.agent import Agent, Setup, patient
from actors.site.control_clock import Age
from actors.site.enrolment import Enrolment
from models import boot_pins, ssh_access
from models.bootnet import BootNetwork
from models.errors import Denied, Invalid
from models.messages import Envelope, Kind, sealed
from tests.actors.site_lab import KEY, SITE, a_plan


@pytest.fixture
def live(tmp_path):
    """Start a life of the agent in the same folder; the one before ends."""
    lives = []

    def start(**more):
        for before in lives:
            before.close()
        lives[:] = [Agent(replace(setup_in(tmp_path), **more))]
        return lives[0]

    yield start
    for last in lives:
        last.close()


@pytest.fixture
def agent(live):
    return live()


def setup_in(path):
    enrolled = Enrolment(site=SITE, slug="lab", signing_key=KEY, broker="amqp://nowhere/", edge="")
    return Setup(
        enrolment=enrolled,
        directory=path,
        artifact_dir=path,
        broker_url=enrolled.broker,
        boot_base_url="http://10.0.0.1:8081",
        services=frozenset({"http"}),
        rules=Rules(networks=(ip_network("127.0.0.0/8"),)),
        resolvers={},
        cache_bytes=1 << 30,
    )


def message(to, kind=Kind.PLAN, body=None, *, key=KEY, **changes):
    values = {"site": SITE, "agent": to.id} | changes
    return sealed(Envelope(kind=kind, body=body or {"plans": []}, **values), key)


def test_a_plan_is_on_the_disk_when_its_message_is_acknowledged(agent):
    plan = a_plan(agent.id)

    agent.command(message(agent, body={"plans": [plan.encode()], "snapshot": False}))

    assert agent.store.received() == (plan,)


def test_a_message_signed_with_another_key_is_refused(agent):
    with pytest.raises(Denied):
        agent.command(message(agent, key=b"other"))


@pytest.mark.parametrize("other", [{"site": uuid4()}, {"agent": uuid4()}], ids=["site", "agent"])
def test_a_message_for_somebody_else_is_refused(agent, other):
    with pytest.raises(Denied, match="another site or agent"):
        agent.command(message(agent, **other))


def test_a_plan_of_another_site_is_refused(agent):
    plan = a_plan(agent.id, site=uuid4())

    with pytest.raises(Denied):
        agent.command(message(agent, body={"plans": [plan.encode()]}))

    assert agent.store.received() == ()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.PLAN, {"plans": [{}]}),
        (Kind.PLAN, {"plans": None}),
        (Kind.TASK, {"task": "x"}),
        (Kind.HEARTBEAT, {}),
    ],
)
def test_what_an_agent_cannot_take_is_refused(agent, kind, body):
    with pytest.raises(Invalid):
        agent.command(message(agent, kind, body))


def test_an_agent_keeps_its_id_over_restarts(live):
    before = live().id

    assert live().id == before


def test_a_registration_says_what_control_needs(agent):
    said = agent.greeting()

    always = ["sync", "inventory-image", "wake-on-lan"]
    assert said["capabilities"] == ["redfish", "http", *always, "remote-task"]
    assert said["advertise"]["boot_base_url"] == "http://10.0.0.1:8081"
    assert ssh_access.public_key(said["advertise"]["ssh_ca"])
    assert said["incarnation"] == str(agent.journal.incarnation)


def test_a_certificate_before_its_boot_http_is_told_at_registration_where_it_is_set(live):
    told = [live(**more).greeting()["advertise"] for more in ({"boot_pin": "AB:CD"}, {})]

    assert [each.get(boot_pins.ADVERTISED) for each in told] == ["AB:CD", None]


def test_a_heartbeat_carries_the_digest_of_the_plans(agent):
    before = agent.pulse()["plan_digest"]
    agent.plans.put(a_plan(agent.id))

    assert agent.pulse()["plan_digest"] != before


def test_networks_lie_in_the_store_and_a_heartbeat_tells_their_version(agent):
    net = BootNetwork(network=uuid4(), name="prov", cidr=IPv4Network("10.77.0.0/24"))
    told = {"plans": [], "networks": [net.encode()], "networks_version": 7, "ranges": []}
    before = agent.pulse()["networks_version"]

    agent.command(message(agent, body=told))

    assert agent.plans.networks() == (net,)
    assert (before, agent.pulse()["networks_version"]) == (0, 7)


def test_a_network_that_is_none_is_refused(agent):
    with pytest.raises(Invalid):
        agent.command(message(agent, body={"plans": [], "networks": [{"name": 1}]}))


def test_a_queue_that_is_not_there_yet_is_tried_again_soon_and_control_is_told_each_time():
    said, outcomes = [], [ConnectionLost("no queue"), ConnectionLost("no queue"), "a consumer"]

    def connect(queue):
        outcome = outcomes.pop(0)
        if isinstance(outcome, ConnectionLost):
            raise outcome
        return outcome

    consume = patient(connect, lambda: said.append("register"), threading.Event())

    assert consume("q") == "a consumer"
    assert said == ["register"] * 3


def test_a_task_that_control_has_stopped_waiting_for_is_not_taken(agent, monkeypatch):
    monkeypatch.setattr(agent.runner, "accept", lambda body: pytest.fail("it was taken"))
    agent.command(message(agent), Age(made_at=2000.0))

    with pytest.raises(Unworkable, match="too late by control's clock"):
        agent.command(message(agent, Kind.TASK), Age(made_at=1900.0, expires_at=1935.0))


def test_a_heartbeat_says_how_wrong_the_clock_is(agent):
    assert "clock_offset_ms" not in agent.pulse()

    agent.command(message(agent), Age(made_at=time.time() - 7200))

    assert 7_199_000 < agent.pulse()["clock_offset_ms"] < 7_260_000


def test_the_answer_to_a_registration_tells_the_time(agent):
    agent.command(message(agent), Age(made_at=time.time() + 7200))
    asked = agent.greeting()["asked"]

    answer = message(agent, body={"plans": [], "answers": asked})
    agent.command(answer, Age(made_at=time.time()))

    assert abs(agent.pulse()["clock_offset_ms"]) < 60_000
