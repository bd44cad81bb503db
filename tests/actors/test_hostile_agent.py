"""Hostile messages to an agent: each ends as a dead letter that says why, and work goes on."""

import json
from contextlib import closing
from uuid import uuid4

import pika
import pytest

from actors import broker
from models.messages import LIMIT, Actor, Kind, agent_queue
from tests.actors.hostile_bmc import RESET
from tests.actors.hostile_letters import Attacker, deep, hostile, wrong
from tests.actors.lane import until
from tests.actors.site_lab import SITE, a_plan
from tests.actors.site_whole import ONE_BROKER, Site, a_task

pytestmark = pytest.mark.services

HUGE = 2**70


@pytest.fixture
def site(tmp_path, control):
    made = Site(tmp_path, control)
    made.start()
    yield made
    assert made.end() == []


@pytest.fixture
def attacker(site, control):
    keys = {SITE: control.key, uuid4(): bytes(32)}
    agent = control.agent()
    broker.declare(control.url, [agent_queue(SITE, agent)])
    return Attacker(agent_queue(SITE, agent), Actor.COMMAND, Kind.CANCEL, keys=keys, agent=agent)


def bodies(bmc, agent):
    """Return what control would never say."""
    task = a_task(bmc, "power-on")
    wrong = {
        "task": "x",
        "epoch": HUGE,
        "machine": [],
        "deadline_s": float("nan"),
        "bmc": 7,
        "params": 7,
    }
    plan = a_plan(agent).encode()
    no_part = {"plans": [], "snapshot": True, "parts": "x"}
    return {
        **{
            f"a task whose {name} is none": (Kind.TASK, task | {name: wrong[name]})
            for name in wrong
        },
        "no task": (Kind.TASK, {}),
        "a task of a later version": (Kind.TASK, {"kind": "levitate", "task": 7}),
        "no plans": (Kind.PLAN, {}),
        "plans that are none": (Kind.PLAN, {"plans": 7}),
        "a plan that is none": (Kind.PLAN, {"plans": [deep(300)]}),
        "a plan of another site": (Kind.PLAN, {"plans": [a_plan(agent, site=uuid4()).encode()]}),
        "URLs that are none": (Kind.PLAN, {"plans": [plan], "blobs": 7}),
        "a part that is none": (Kind.PLAN, no_part),
        "ranges that are none": (Kind.PLAN, {"plans": [], "snapshot": True, "ranges": [7]}),
        "a cancel of nothing": (Kind.CANCEL, {"task": "x", "epoch": 1}),
        "an answer that is none": (Kind.RENEWED, {"n": "x", "tasks": 7}),
    }


def test_an_agent_tells_why_and_works_on(site, control, attacker, bmc):
    bad = hostile(attacker, bodies(bmc, attacker.agent))
    bad.append(attacker.bad("for another agent", {"agent": uuid4()}, "Denied"))

    publish(control, attacker, *(each.body for each in bad))
    control.send(Kind.TASK, a_task(bmc, "power-on"))

    until(lambda: control.reports("task-done"))
    assert wrong(bad, lambda: dead(control, attacker)) == {}
    assert bmc.count("POST", RESET) == 1
    assert starts(site) == 1


def test_a_task_that_comes_again_or_too_late_is_done_once_and_is_no_fault(
    site, control, attacker, bmc
):
    task = a_task(bmc, "power-on", epoch=7)
    older = a_task(bmc, "power-off", epoch=6, machine=task["machine"])
    same = attacker.letter(kind=Kind.TASK, body=task)

    publish(control, attacker, same, same)
    until(lambda: control.reports("task-done"))
    publish(control, attacker, same, attacker.letter(kind=Kind.TASK, body=older))
    until(lambda: control.reports("task-failed"))

    [failed] = control.reports("task-failed")
    assert failed["data"]["task"] == older["task"]
    assert "superseded" in failed["data"]["reason"]
    assert (bmc.power, bmc.count("POST", RESET)) == ("On", 1)
    assert dead(control, attacker) == {}


@ONE_BROKER
def test_a_body_over_the_limit_is_cut_and_the_next_is_taken(site, control, attacker, bmc):
    with pika.BlockingConnection(pika.URLParameters(control.url)) as connection:
        connection.channel().basic_publish("", attacker.queue, b"x" * LIMIT * 20)
    control.send(Kind.TASK, a_task(bmc, "power-on"))

    until(lambda: control.reports("task-done"))
    until(lambda: dead(control, attacker))
    [letter] = dead(control, attacker).values()
    assert (letter.reason, len(letter.body)) == ("oversize", LIMIT)


def publish(control, attacker, *letters):
    with closing(broker.publisher_for(control.url)) as publisher:
        publisher.publish([(attacker.queue, letter) for letter in letters])


def dead(control, attacker):
    letters = broker.dead_letters_of(control.url).peek(1000)
    return {
        (letter.queue, letter.body): letter for letter in letters if letter.queue == attacker.queue
    }


def starts(site):
    lines = (site.folder / "log").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines].count("agent.started")
