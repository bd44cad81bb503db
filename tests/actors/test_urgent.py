"""What somebody waits for, past what nobody does: a real control, and a queue that is long."""

import time

import pytest

from actors import broker
from actors.mourning import SAID
from models import queries
from models.commands import agents, asks
from models.kinds import Kind as Verb
from models.kinds import Progress
from models.messages import ACTORS, Actor, Envelope, Kind, encoded, sealed
from models.observations import Observation, Seen, Source
from models.tables import Observation as Row
from models.tables import Task
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.models import make

pytestmark = pytest.mark.services

LETTERS, ROWS = 40, 200


@pytest.fixture(params=["rabbitmq", "postgres"])
def broker_url(request, db):
    return request.getfixturevalue("rabbitmq_server").url if request.param == "rabbitmq" else db


@pytest.fixture
def control(tmp_path, db, broker_url):
    made = ControlProcess(tmp_path, db, broker_url)
    made.start()
    yield made
    made.end()


@pytest.fixture
def scene(db):
    return make.Scene()


def letter(scene, actor, *seen, first=1):
    """Return the queue and the message in which the agent tells what it has *seen*."""
    told = [{"seq": first + n, **each.encode()} for n, each in enumerate(seen)]
    body = {"incarnation": scene.agent.incarnation, "reports": told}
    envelope = Envelope(kind=Kind.OBSERVATIONS, site=scene.site, agent=scene.agent.id, body=body)
    message = {"message": sealed(envelope, agents.signing_key(scene.site))}
    queue = ACTORS[actor].queue
    return queue, encoded(actor, queue, message, now=time.time())


def seen(scene, kind, **data):
    return Observation(
        kind=kind, source=Source.AGENT, at=time.time(), machine=scene.machine, data=data
    )


def test_the_end_of_a_task_is_heard_before_a_flood_is_taken_in(control, scene, broker_url):
    flow = asks.power(make.ADA, scene.machine, Verb.POWER_OFF)
    until(lambda: Task.select().where(Task.workflow_id == flow).exists())
    task = Task.get(Task.workflow_id == flow)
    bulk = [seen(scene, Seen.ARTIFACT_SERVED, path="x")] * ROWS
    done = seen(scene, Seen.TASK_DONE, task=str(task.id), result={"power": "off"})
    last = LETTERS * ROWS + 1

    publisher = broker.publisher_for(broker_url)
    flood = [letter(scene, Actor.REPORT, *bulk, first=n * ROWS + 1) for n in range(LETTERS)]
    publisher.publish([*flood, letter(scene, Actor.REPORT, done, first=last)])
    publisher.publish([letter(scene, Actor.RENEW, done, first=last)])
    publisher.close()
    until(lambda: queries.workflow(flow).progress is Progress.SUCCEEDED)
    taken = Row.select().where(Row.kind == Seen.ARTIFACT_SERVED.value).count()

    assert taken < LETTERS * ROWS / 2
    until(lambda: Row.select().where(Row.seq < last).count() >= LETTERS * ROWS, seconds=120)
    assert Row.select().where(Row.seq == last).count() == 1


def told_of(control):
    return [line for line in control.lines() if "signature" in str(line.get("detail"))]


def test_what_is_refused_grows_no_log(control, scene, broker_url):
    planted = "planted-by-a-stranger-" * 5000
    queue, good = letter(scene, Actor.REPORT, seen(scene, Seen.ARTIFACT_SERVED, path=planted))
    refused = good.replace(b'"signature":"', b'"signature":"x')
    before = control.log.stat().st_size

    publisher = broker.publisher_for(broker_url)
    publisher.publish([(queue, refused)] * 30)
    publisher.publish([letter(scene, Actor.REPORT, seen(scene, Seen.TASK_PROGRESS))])
    publisher.close()
    until(lambda: Row.select().where(Row.kind == Seen.TASK_PROGRESS.value).exists())
    until(lambda: len(told_of(control)) == SAID)

    text = control.log.read_text()[before:]
    assert (planted[:22] in text, "Traceback" in text, len(text) < 30_000) == (False, False, True)
    assert len(told_of(control)) == SAID
