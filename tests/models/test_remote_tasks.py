"""Commands on machines: what may be asked, what an agent is sent, what an unknown end means."""

import pytest

from models import lists, policy_file, remote_commands
from models.commands import asks, policy, walks
from models.errors import Denied, Invalid, NotReady
from models.messages import Kind as Message
from models.observations import Seen
from models.tables import Agent, Machine, Workflow
from tests.models import make
from tests.models.test_day2 import activate, rules

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    made = make.Scene()
    activate(made)
    yield made
    policy.follow(policy_file.default)


def command(scene, text, **more):
    """Have *text* granted to an agent that can run it; return its workflow and the agent."""
    able = make.Agent(scene.site, ("remote-task",))
    flow = asks.remote_task(make.ADMIN, scene.machine, text, **more)
    walks.advance(flow, make.render)
    return flow, able


def test_a_command_is_sent_as_words_with_the_machine_s_address_its_keys_and_the_list(scene):
    rules()

    _, able = command(scene, "journalctl -n '7' --no-pager", limit_s=5)

    sent = able.heard(Message.TASK)[-1]["params"]
    assert (sent["argv"], sent["limit_s"]) == (["journalctl", "-n", "7", "--no-pager"], 5)
    assert sent["host"] == {"address": "10.77.0.10", "keys": [make.HOST_KEY]}
    assert sent["allowed"]["reads"] == list(remote_commands.READ_ONLY)


@pytest.mark.parametrize(
    ("text", "limit_s", "error", "field"),
    [
        ("reboot", None, Denied, "/command"),
        ("uptime; reboot", None, Denied, "/command"),
        ("echo 'a", None, Invalid, "/command"),
        ("uptime", 721, Invalid, "/timeLimitS"),
    ],
)
def test_what_the_site_does_not_let_be_run_is_refused_before_anything_is_written(
    scene, text, limit_s, error, field
):
    before = Workflow.select().count()

    with pytest.raises(error) as caught:
        asks.remote_task(make.ADMIN, scene.machine, text, limit_s=limit_s)

    assert (caught.value.field, Workflow.select().count()) == (field, before)


def test_a_machine_whose_host_key_nobody_knows_is_asked_to_run_nothing(scene):
    Machine.update(ssh_host_keys=[]).execute()

    with pytest.raises(NotReady, match="no known host key"):
        asks.remote_task(make.ADMIN, scene.machine, "uptime")


@pytest.mark.parametrize(
    ("text", "state", "detail"),
    [("uptime", "running", ""), ("touch /tmp/a", "failed", "nobody knows whether it was run")],
)
@pytest.mark.parametrize("end", ["unknown", "lost"])
def test_what_only_reads_is_run_again_after_an_unknown_end_and_what_changes_is_not(
    scene, text, state, detail, end
):
    rules(**{"remote-tasks": {"reads": ["uptime"], "changes": ["touch <path>"]}})
    flow, able = command(scene, text)
    task = able.heard(Message.TASK)[-1]

    able.report(Seen.TASK_STARTED, scene.machine, data={"task": task["task"]})
    ended = {"task": task["task"], "retryable": True, "reason": "the agent was restarted"}
    able.report(Seen.TASK_FAILED, scene.machine, data=ended | {end: True})

    found = Workflow.get_by_id(flow)
    assert found.state == state
    assert detail in found.detail


def test_a_site_s_own_list_takes_the_place_of_the_other(scene):
    rules(sites={"ams-1": {"remote-tasks": {"reads": ["date -u"], "limit": "10s"}}})

    flow, _ = command(scene, "date -u")
    with pytest.raises(Denied, match="not on this site's list"):
        asks.remote_task(make.ADMIN, scene.machine, "uptime")

    assert Workflow.get_by_id(flow).params["limit_s"] == 10


def test_an_installed_machine_lets_in_who_is_certified_for_it_by_the_site_s_agents(scene):
    at = {"boot_base_url": "http://10.77.0.1:8081"}
    for key in (f"{make.HOST_KEY} of boot-01", make.HOST_KEY, "no key\nssh-rsa", {"a": 1}):
        agent = make.Agent(scene.site)
        Agent.update(advertise=at | {"ssh_ca": key}).where(Agent.id == agent.id).execute()
    gone = make.Agent(scene.site)
    gone.silent(31 * 86_400)
    other = make.HOST_KEY.replace("bgzzg", "bgzzh")
    Agent.update(advertise=at | {"ssh_ca": other}).where(Agent.id == gone.id).execute()
    rules()
    seen = []

    scene.provision(lambda intent: seen.append(intent) or make.render(intent))

    principal = f'principals="sprout-{scene.machine}"'
    assert [key for key in seen[0].ssh_keys if "cert-authority" in key] == [
        f"restrict,cert-authority,{principal} {make.HOST_KEY} sprout-site"
    ]


def test_what_a_command_says_stands_in_its_workflow_s_log_and_nobody_else_s_does(scene):
    rules()
    flow, able = command(scene, "uptime")
    task = able.heard(Message.TASK)[-1]["task"]
    said = {"task": task, "stream": "stdout", "text": "up 3 days"}

    able.report(Seen.TASK_OUTPUT, scene.machine, data=said)
    for stranger, data in ((scene.agent, said), (able, said | {"task": "x"}), (able, {})):
        stranger.report(Seen.TASK_OUTPUT, scene.machine, data=data)

    log = lists.observations(workflow_id=flow, kind="task-output")
    assert [row.data["text"] for row in log] == ["up 3 days"]
