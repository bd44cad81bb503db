"""What agents say that their tasks brought up, and what of it is believed."""

import pytest

from models import lists, queries
from models.commands import asks, walks
from models.observations import Seen
from models.tables import Task
from tests.models import make

pytestmark = pytest.mark.services

SHA = "ab" * 32


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def task(scene):
    flow = asks.commission(make.ADA, scene.machine)
    walks.advance(flow, make.render)
    return Task.get(Task.workflow_id == flow)


def says(agent, machine, **data):
    whole = {"name": "record.json", "sha256": SHA, "size": 7} | data
    agent.report(Seen.EVIDENCE_KEPT, machine, data=whole)


def test_what_a_task_brought_up_is_listed_once_however_often_it_is_said(scene, task):
    says(scene.agent, scene.machine, task=str(task.id))
    says(scene.agent, scene.machine, task=str(task.id))
    says(scene.agent, scene.machine, task=str(task.id), sha256="cd" * 32, name="result.json")

    newest, first = lists.evidence(scene.machine)
    assert (newest.name, newest.sha256) == ("result.json", "cd" * 32)
    assert (first.task_id, first.workflow_id) == (task.id, task.workflow_id)
    assert (first.name, first.sha256, first.size) == ("record.json", SHA, 7)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "x"},
        {"task": "1716c33e-50c0-4942-b4eb-5486869aac49"},
        {"task": None},
        {"sha256": "../../etc/passwd"},
        {"sha256": SHA.upper()},
        {"sha256": None},
        {"size": "-1"},
        {"size": 1e300},
        {"size": None},
        {"name": None},
    ],
    ids=str,
)
def test_what_is_no_evidence_is_not_listed(scene, task, change):
    says(scene.agent, scene.machine, **{"task": str(task.id)} | change)

    assert lists.evidence(scene.machine) == []


def test_another_agent_or_machine_adds_nothing_to_a_task(scene, task):
    other = make.machine(
        scene.site, hostname="other", interfaces=[make.interface("52:54:00:00:00:77")]
    )
    says(make.Agent(scene.site), scene.machine, task=str(task.id))
    says(make.Agent(make.site("fra-1")), scene.machine, task=str(task.id))
    says(scene.agent, other, task=str(task.id))

    assert lists.evidence(scene.machine) == lists.evidence(other) == []


def test_it_moves_nothing(scene, task):
    before = queries.workflow(task.workflow_id)

    says(scene.agent, scene.machine, task=str(task.id))

    assert queries.workflow(task.workflow_id) == before
