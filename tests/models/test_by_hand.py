"""Machines without a BMC: a person does what is asked, and what proves it is waited for."""

from datetime import UTC, datetime

import pytest

from models import queries
from models.commands import approvals, asks, confirming, runs, walks
from models.errors import IllegalTransition, NotFound, NotReady
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen, Source
from models.phases import Phase
from models.steps import HAND_S, StepKind
from models.tables import Audit, Machine, Observation, Outbox, Plan, Run, Task, Workflow
from models.why import why
from models.workflows import TABLES, by_hand, table_of
from tests.models import make

pytestmark = pytest.mark.services

TO_BOOT = "node-01 waits for a person: power it on and boot from the network."


@pytest.fixture
def scene(db):
    found = make.Scene()
    Machine.update(bmc=None).execute()
    return found


@pytest.fixture
def active(scene):
    flow = scene.provision()
    served(scene)
    booted(scene)
    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    return scene


def served(scene):
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)


def booted(scene):
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)


def told(scene):
    return why(scene.view, queries.agents(scene.site), (), datetime.now(UTC))


def asked(scene, kind):
    new = approvals.NewApproval(machine_id=scene.machine, action=kind.value, decision="approved")
    approval = approvals.create_approval(make.ADMIN, new)
    flow = asks.power(make.ADA, scene.machine, kind, approval_id=approval)
    walks.advance(flow, make.render)
    return flow


def test_provisioning_asks_a_person_for_the_boot_and_waits_a_day_in_pxe_ready(scene):
    flow = queries.workflow(scene.provision())
    served(scene)
    flow = queries.workflow(flow.id)

    assert (scene.view.state, scene.view.phase) == (State.PROVISIONING, Phase.PXE_READY)
    assert flow.step.name == "netbooted"
    assert (flow.deadline_at - flow.begun_at).total_seconds() == HAND_S == 24 * 3600
    assert told(scene).sentence == TO_BOOT
    assert f"sprout workflows cancel {flow.id}" in told(scene).next_action
    assert not Task.select().exists()


def test_from_registered_to_active_no_agent_is_asked_for_power(active):
    assert active.view.state is State.ACTIVE
    assert not Task.select().exists()


def test_the_plan_of_a_boot_by_hand_outlives_the_wait(scene):
    scene.provision()

    plan = Plan.get_by_id(scene.machine)

    assert plan.body["valid_for"] == runs.VALID_FOR_S + HAND_S
    assert Run.get_by_id(scene.view.run_id).valid_for_s == plan.body["valid_for"]


def test_a_boot_that_never_comes_fails_and_leaves_the_machine_its_own_disk(scene):
    flow = scene.provision()
    served(scene)

    make.overdue(flow)

    assert scene.view.state is State.FAILED
    assert Plan.get_by_id(scene.machine).body["action"] == "local"
    assert Workflow.select().count() == 1  # nothing that could switch it off is begun
    assert "Nobody can switch it off from here: its boot plan is withdrawn" in told(scene).sentence


def test_a_cancelled_wait_withdraws_the_plan_and_moves_nothing_afterwards(scene):
    flow = scene.provision()
    served(scene)
    run = scene.view.run_id

    asks.cancel(make.ADA, flow)
    scene.agent.report(Seen.SCRIPT_SERVED, scene.machine, run=run)

    assert scene.view.state is State.FAILED
    assert Plan.get_by_id(scene.machine).body["action"] == "local"


@pytest.mark.parametrize(
    ("kind", "power"), [(Kind.POWER_ON, "on"), (Kind.POWER_OFF, "off"), (Kind.REBOOT, "on")]
)
def test_power_is_done_by_a_person_who_confirms_it(active, kind, power):
    flow = asked(active, kind)
    before = queries.workflow(flow)

    confirming.confirm(make.ADA, flow, kind.value, reason="done")
    walks.advance(flow, make.render)

    assert (before.progress, before.step.kind) == (Progress.RUNNING, StepKind.CONFIRMATION)
    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    assert active.view.power == power
    assert not Task.select().exists()


def test_while_a_person_is_asked_it_is_said_how_to_confirm_also_without_an_agent(active):
    flow = asked(active, Kind.REBOOT)
    active.agent.silent(3600)

    found = told(active)

    assert found.sentence == "node-01 waits for a person: restart it, and confirm it."
    assert found.next_action == f"When it is done: sprout workflows confirm {flow}"


def test_a_confirmation_is_told_audited_and_promised_together(active):
    flow = asked(active, Kind.POWER_OFF)
    before = Outbox.select().count()

    confirming.confirm(make.ADA, flow, "power-off", reason="I pressed it")

    row = Audit.get(Audit.action == "workflow.confirm")
    seen = Observation.get(Observation.kind == Seen.CONFIRMED.value)
    assert (row.actor, row.reason, row.data["step"]) == ("ada", "I pressed it", "power-off")
    assert (seen.source, seen.data["by"]) == (Source.OPERATOR.value, "ada")
    assert Outbox.select().count() == before + 1


def test_a_confirmation_that_comes_twice_changes_nothing(active):
    flow = asked(active, Kind.POWER_OFF)
    confirming.confirm(make.ADA, flow, "power-off")
    before = (Outbox.select().count(), Audit.select().count())

    confirming.confirm(make.ADA, flow, "power-off")

    assert (Outbox.select().count(), Audit.select().count()) == before


def test_a_confirmation_after_the_end_is_refused(active):
    flow = asked(active, Kind.POWER_OFF)
    confirming.confirm(make.ADA, flow, "power-off")
    walks.advance(flow, make.render)

    with pytest.raises(IllegalTransition, match="succeeded"):
        confirming.confirm(make.ADA, flow, "power-off")


@pytest.mark.parametrize("name", ["power-on", "", "x" * 1000, "netbooted"])
def test_another_step_than_the_one_that_is_asked_for_is_not_confirmed(active, name):
    flow = asked(active, Kind.POWER_OFF)

    with pytest.raises(IllegalTransition) as caught:
        confirming.confirm(make.ADA, flow, name)

    assert caught.value.field == "/step"
    assert queries.workflow(flow).progress is Progress.RUNNING


def test_nobody_confirms_what_the_machine_itself_must_show(scene):
    flow = scene.provision()
    served(scene)

    with pytest.raises(IllegalTransition, match="asks nobody to confirm"):
        confirming.confirm(make.ADA, flow, "netbooted")

    assert scene.view.phase is Phase.PXE_READY


def test_a_step_that_has_not_begun_is_not_confirmed(active):
    flow = asks.power(make.ADA, active.machine, Kind.POWER_OFF)

    with pytest.raises(IllegalTransition):
        confirming.confirm(make.ADA, flow, "power-off")


def test_what_is_no_workflow_is_not_confirmed(scene):
    with pytest.raises(NotFound):
        confirming.confirm(make.ADA, scene.machine, "reboot")


def test_a_person_who_never_comes_fails_the_workflow_and_not_the_machine(active):
    flow = asked(active, Kind.POWER_OFF)

    make.overdue(flow)

    assert queries.workflow(flow).progress is Progress.FAILED
    assert active.view.state is State.ACTIVE


@pytest.mark.parametrize("source", asks.BOOT_SOURCES)
def test_what_only_a_bmc_can_do_is_refused_in_words(active, source):
    with pytest.raises(NotReady, match="node-01 has no BMC") as caught:
        asks.boot_source(make.ADA, active.machine, source)

    assert caught.value.field == "/bmc"


def test_no_table_by_hand_asks_a_bmc_or_dirties():
    for kind in filter(by_hand, TABLES):
        assert not any(step.dirties for step in table_of(kind, ["by-hand"]).steps)


@pytest.fixture
def asleep(scene):
    """The same, where a packet wakes the machine."""
    Machine.update(bmc={"protocol": "wake-on-lan", "address": ""}).execute()
    return scene


def test_a_machine_that_a_packet_wakes_is_woken_first_and_then_waited_for_all_the_same(asleep):
    able = make.Agent(asleep.site, ("wake-on-lan",))
    flow = asleep.provision()
    served(asleep)
    task = Task.get(Task.workflow_id == flow)
    before = queries.workflow(flow).step.name

    able.finish(flow, {"sent": 6, "heard": False})
    waits = queries.workflow(flow).step
    booted(asleep)

    assert (task.kind, task.agent_id, task.params["macs"]) == ("wake", able.id, [make.MAC])
    assert (before, waits.name, waits.deadline_s) == ("woken", "netbooted", HAND_S)
    assert asleep.view.state is State.ACTIVE


def test_what_cannot_be_woken_by_anybody_is_refused_before_it_begins(asleep):
    with pytest.raises(NotReady, match="no live agent of the site can do wake-on-lan"):
        asleep.provision()

    assert asleep.view.state is State.REGISTERED


def test_power_on_sends_the_packet_and_asks_nobody(asleep):
    able = make.Agent(asleep.site, ("wake-on-lan",))
    flow = asks.power(make.ADA, asleep.machine, Kind.POWER_ON)
    walks.advance(flow, make.render)

    able.finish(flow, {"sent": 1, "heard": True})

    assert queries.workflow(flow).progress is Progress.SUCCEEDED


def test_power_off_is_still_asked_of_a_person(asleep):
    make.Agent(asleep.site, ("wake-on-lan",))
    flow = asks.power(make.ADA, asleep.machine, Kind.POWER_OFF)
    walks.advance(flow, make.render)

    assert queries.workflow(flow).step.kind is StepKind.CONFIRMATION
