"""Each verb has its page: what will happen, who must agree, each step; then what came of it."""

import pytest

from models import policy_file
from models.actions import ACTIONS, ALLOCATE
from models.commands import asks, policy, walks
from models.observations import Seen
from models.tables import Task
from tests.edge.signed_in import Browser, text
from tests.models import make

pytestmark = pytest.mark.services

VERBS = sorted(ACTIONS.keys() - {ALLOCATE})
SHA = "ab" * 32


@pytest.fixture
def scene(db):
    yield make.Scene()
    policy.follow(policy_file.default)


@pytest.fixture
def person(app):
    return Browser(app)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_will_happen_who_must_agree_and_each_step(person, scene, verb):
    answer = person.get(f"/machines/{scene.machine}/{verb}")

    assert answer.status_code == 200
    for part in ("What will happen", "Approval"):
        assert f'aria-label="{part}"' in answer.text
    shown = text(answer)
    assert ACTIONS[verb].summary in shown
    assert f"{verb} node-01" in shown
    assert "sprout machines " + verb in shown
    assert "Steps" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_is_asked_of_a_machine_that_is_not_there(person, scene, verb):
    nobody = scene.site

    assert person.get(f"/machines/{nobody}/{verb}").status_code == 404


def test_what_came_of_it_stands_on_its_page_with_its_evidence(person, scene):
    flow = asks.commission(make.ADA, scene.machine)
    walks.advance(flow, make.render)
    task = Task.get(Task.workflow_id == flow)
    data = {"task": str(task.id), "name": "record.json", "sha256": SHA, "size": 1234}
    assert "Evidence" not in text(person.get(f"/workflows/{flow}"))

    scene.agent.report(Seen.EVIDENCE_KEPT, scene.machine, data=data)

    page = person.get(f"/workflows/{flow}")
    assert f'href="/v1/blobs/{SHA}"' in page.text
    assert f'title="{SHA}"' in page.text
    assert "record.json" in text(page)
