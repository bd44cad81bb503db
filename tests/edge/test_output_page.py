"""What a command says, on the page of its workflow."""

import pytest

from models import policy_file
from models.commands import asks, policy, walks
from models.messages import Kind
from models.observations import Seen
from tests.edge.signed_in import Browser, text
from tests.models import make

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    made = make.Scene()
    flow = made.provision()
    made.powered(flow)
    made.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)
    policy.follow(lambda: policy_file.parse({"version": "1"}))
    yield made
    policy.follow(policy_file.default)


@pytest.fixture
def person(app):
    return Browser(app)


def test_what_it_says_stands_on_the_page_as_text_in_the_order_in_which_it_came(person, scene):
    able = make.Agent(scene.site, ("remote-task",))
    flow = asks.remote_task(make.ADMIN, scene.machine, "uptime")
    walks.advance(flow, make.render)
    task = able.heard(Kind.TASK)[-1]["task"]
    assert "Output" not in text(person.get(f"/workflows/{flow}"))

    for piece in ("up <b>3</b> days, ", "2 users\n", {"no": "text"}):
        data = {"task": task, "stream": "stdout", "text": piece}
        able.report(Seen.TASK_OUTPUT, scene.machine, data=data)

    page = person.get(f"/workflows/{flow}")
    assert "up <b>3</b> days, 2 users" in text(page)
    assert "<b>3</b>" not in page.text


def test_the_page_says_what_was_asked_and_not_what_the_workflow_keeps_for_itself(person, scene):
    flow = asks.remote_task(make.ADMIN, scene.machine, "journalctl -n 5 --no-pager")

    shown = text(person.get(f"/workflows/{flow}"))

    assert "journalctl -n 5 --no-pager" in shown
    for own in ("only_reads", "argv", "allowed"):
        assert own not in shown
