"""A site whole, and BMCs that are silent, slow, and asked by several tasks."""

import pytest

from models.messages import Kind
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import RESET
from tests.actors.lane import until
from tests.actors.site_whole import ONE_BROKER, Site, a_task

pytestmark = pytest.mark.services


@pytest.fixture
def site(tmp_path, control):
    made = Site(tmp_path, control)
    made.start()
    yield made
    if made.process is not None:
        made.end()


def ended(control, body):
    """Return how the task of *body* ended, once it has."""

    def found():
        told = control.reports("task-done", "task-failed")
        return [each["data"] for each in told if each["data"]["task"] == body["task"]]

    until(found)
    return found()[0]


@ONE_BROKER
def test_a_silent_bmc_is_told_of_and_left_alone_while_another_is_asked(site, control, bmc):
    silent = hostile_bmc.Bmc(url="http://127.0.0.1:1")
    for _ in range(3):
        body = a_task(silent, "power-on")
        control.send(Kind.TASK, body)
        assert "asked again" not in ended(control, body)["reason"]

    left_alone, other = a_task(silent, "power-on"), a_task(bmc, "power-on")
    for body in (left_alone, other):
        control.send(Kind.TASK, body)

    told = ended(control, left_alone)
    assert told["reason"].startswith("the BMC at 127.0.0.1:1 did not answer 3 times; it is asked")
    assert told["retryable"]
    assert ended(control, other)["result"] == {"power": "on", "changed": True}


@ONE_BROKER
def test_tasks_of_one_bmc_share_its_session_and_the_agent_logs_out_when_it_ends(site, control, bmc):
    for kind in ("power-on", "power-off", "power-on"):
        body = a_task(bmc, kind)
        control.send(Kind.TASK, body)
        assert ended(control, body)["result"]["changed"]

    assert (len(bmc.logins), len(bmc.tokens), bmc.count("POST", RESET)) == (1, 1, 3)
    site.end()
    assert bmc.tokens == set()
