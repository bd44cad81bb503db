"""A release: nothing is given to others before the disks' signatures are gone, and it is proven."""

import pytest

from models import queries
from models.bootplan import snapshot_digest
from models.commands import addresses, approvals, asks, walks
from models.errors import Invalid, NotReady
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.steps import Task
from models.tables import Allocation, Audit, Image, Interface, Machine, Plan, Run, Workflow
from models.tables import Task as TaskRow
from models.workflows import table_of
from tests.models import make

pytestmark = pytest.mark.services

NONE = snapshot_digest(())
TOLD = {"disks": "1", "disk1": "nvme0n1 serial=S1 found=gpt left=nothing"}


@pytest.fixture
def active(db):
    scene = make.Scene()
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)
    return scene


def released(scene, **words):
    new = approvals.NewApproval(machine_id=scene.machine, action="release", decision="approved")
    approval = approvals.create_approval(make.ADMIN, new)
    flow = asks.release(make.ADMIN, scene.machine, approval_id=approval, **words)
    walks.advance(flow, make.render)
    return flow


def begun(scene, **words):
    """Lead a release to where the deploy system runs."""
    flow = released(scene, **words)
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.DEPLOY_STARTED)
    return flow


def plan(scene):
    return Plan.get_by_id(scene.machine).body


def state(scene):
    return Allocation.get(Allocation.machine_id == scene.machine).state


def test_the_machine_is_wiped_by_a_run_of_its_own_before_its_address_is_let_go(active):
    before = active.view.run_id
    flow = begun(active)
    during = (plan(active), state(active), active.view.phase, active.view.run_id)

    active.agent.report(Seen.WIPED, active.machine, run=active.view.run_id, data=TOLD)
    still = state(active)
    for _ in range(2):
        active.agent.finish(flow, {"power": "off"})

    assert (during[0]["action"], during[1]) == ("wipe", "active")
    assert during[0]["addressing"]["address"] == "10.77.0.10"
    assert {file["role"] for file in during[0]["files"]} == {"kernel", "initrd"}
    assert during[2].value == "ready"  # the phases are those of an install
    assert during[3] != before
    assert (still, state(active)) == ("active", "releasing")
    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    assert (active.view.state, active.view.power) == (State.AVAILABLE, "off")
    assert not Plan.select().exists()


def test_what_was_overwritten_is_audited_and_that_it_is_no_full_wipe(active):
    begun(active)

    active.agent.report(Seen.WIPED, active.machine, run=active.view.run_id, data=TOLD)

    row = Audit.get(Audit.action == "machine.wiped")
    assert row.data["full"] is False
    assert "no full wipe" in row.data["extent"]
    assert row.data["told"]["disk1"] == TOLD["disk1"]


def test_its_address_is_free_when_the_site_serves_its_plan_no_more(active):
    flow = begun(active)
    run = active.view.run_id
    active.agent.report(Seen.WIPED, active.machine, run=run, data=TOLD)
    for _ in range(2):
        active.agent.finish(flow)
    withdrawn = max(each["version"] for each in sent(active))
    early = addresses.free_addresses()

    told = {"version": withdrawn}
    active.agent.report(Seen.PLAN_WITHDRAWN, active.machine, data=told)
    active.agent.beat(NONE)
    late = addresses.free_addresses()

    assert (early, late, state(active)) == (0, 1, "released")
    assert Run.get_by_id(run).withdrawn_at is not None


def sent(scene):
    plans = [plan for body in scene.agent.heard(make.Kind.PLAN) for plan in body["plans"]]
    return [each for each in plans if each["action"] == "local"]


@pytest.mark.parametrize("bad", [Seen.DEPLOY_FAILED, Seen.BOOT_FAILED])
def test_what_fails_keeps_the_address_says_why_and_switches_the_machine_off(active, bad):
    flow = begun(active) if bad is Seen.DEPLOY_FAILED else released(active)
    if bad is Seen.BOOT_FAILED:
        active.powered(flow)

    reason = {"reason": "writing to nvme0n1 at byte 0: I/O error"}
    active.agent.report(bad, active.machine, run=active.view.run_id, data=reason)

    assert active.view.state is State.FAILED
    assert "I/O error" in queries.workflow(flow).detail
    assert state(active) == "active"
    assert plan(active)["action"] == "local"
    assert Workflow.select().where(Workflow.kind == Kind.CLEAN_UP.value).count() == 1


def test_a_late_report_of_a_wipe_that_was_given_up_moves_nothing(active):
    flow = begun(active)
    run = active.view.run_id
    asks.cancel(make.ADMIN, flow)

    active.agent.report(Seen.WIPED, active.machine, run=run, data=TOLD)

    assert (active.view.state, state(active)) == (State.FAILED, "active")
    assert not Audit.select().where(Audit.action == "machine.wiped").exists()


def test_a_wipe_is_not_begun_by_the_reports_of_an_install(active):
    flow = released(active)
    active.powered(flow)

    active.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    assert queries.workflow(flow).step.name == "wiping"


def test_without_a_wipe_it_is_switched_off_and_no_plan_is_made(active):
    flow = released(active, wipe="none")
    for _ in range(2):
        active.agent.finish(flow, {"power": "off"})

    assert active.view.state is State.AVAILABLE
    assert not Audit.select().where(Audit.action == "machine.wiped").exists()


@pytest.mark.parametrize(
    ("words", "field"), [({"wipe": "everything"}, "/wipe"), ({"disks": "sda"}, "/disks")]
)
def test_what_is_no_extent_is_refused(active, words, field):
    with pytest.raises(Invalid) as caught:
        asks.release(make.ADMIN, active.machine, **words)

    assert caught.value.field == field
    assert active.view.state is State.ACTIVE


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda: Interface.update(pxe_enabled=False).execute(), "0 PXE-enabled interfaces"),
        (lambda: Image.update(image_path="").execute(), "no image holds the deploy system"),
    ],
    ids=["no-interface", "no-deploy-system"],
)
def test_a_machine_that_cannot_be_booted_is_refused_with_the_way_out(active, spoil, why):
    spoil()

    with pytest.raises(NotReady, match=why) as caught:
        asks.release(make.ADMIN, active.machine)

    assert caught.value.field == "/wipe"
    assert "sprout machines release node-01 --wipe none" in caught.value.hint
    assert active.view.state is State.ACTIVE


def test_without_a_bmc_the_boot_is_asked_of_a_person_and_nothing_else_is(active):
    Machine.update(bmc=None).execute()
    flow = released(active)
    active.agent.report(Seen.PLAN_SERVED, active.machine, run=active.view.run_id)
    waits = queries.workflow(flow).step

    active.boots(Seen.SCRIPT_SERVED, Seen.DEPLOY_STARTED)
    active.agent.report(Seen.WIPED, active.machine, run=active.view.run_id, data=TOLD)

    assert waits.expects == "power it on and boot from the network"
    assert (active.view.state, active.view.power) == (State.AVAILABLE, "unknown")


def test_an_image_that_was_inserted_is_taken_out_first(active):
    able = make.Agent(active.site, ("virtual-media",))
    inserting = asks.media(make.ADMIN, active.machine, "http://10.77.0.1/rescue.iso")
    walks.advance(inserting, make.render)
    able.finish(inserting)
    active.agent.finish(inserting)

    flow = released(active, wipe="none")

    assert queries.workflow(flow).step.name == "media-ejected"
    assert TaskRow.get(TaskRow.workflow_id == flow).kind == Task.VIRTUAL_MEDIA.value


def test_an_image_that_no_agent_could_insert_is_not_taken_out(active):
    inserting = asks.media(make.ADMIN, active.machine, "http://10.77.0.1/rescue.iso")
    walks.advance(inserting, make.render)

    flow = released(active, wipe="none")

    assert queries.workflow(inserting).progress is Progress.FAILED
    assert queries.workflow(flow).step.name == "switched-off"


def test_no_release_powers_a_machine_on_before_its_plan_is_served():
    for held in (["wipes"], ["wipes", "eject"]):
        steps = table_of(Kind.RELEASE, held).steps
        names = [step.name for step in steps]
        powers = [n for n, s in enumerate(steps) if s.task in {Task.POWER_ON, Task.REBOOT}]
        assert names.index("plan-served") < min(powers)
        assert names.index("wiped") < names.index("let-go")


def test_a_retired_machine_keeps_its_bmc_in_the_audit_alone_and_its_name_is_free(active):
    flow = released(active, wipe="none")
    for _ in range(2):
        active.agent.finish(flow, {"power": "off"})
    board = Machine.get_by_id(active.machine).bmc

    asks.moved(make.ADMIN, active.machine, Kind.RETIRE, reason="sold")
    again = make.machine(active.site, "node-01", [make.interface("52:54:00:00:00:09")])

    row = Audit.get(Audit.action == "machine.forget-bmc")
    assert (row.data["bmc"], row.reason) == (board, "sold")
    assert active.view.bmc is None
    assert again != active.machine
