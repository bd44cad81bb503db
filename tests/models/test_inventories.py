"""Commissioning by the inventory image, on a real database, with an agent that plays its part."""

import pytest

from models import queries
from models.bootplan import Action, BootPlan
from models.commands import asks, catalogue, foresight, providing, walks
from models.commands.inventories import How
from models.errors import InUse, NotReady
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.phases import Phase
from models.tables import Allocation, Image, Machine, Plan, Workflow
from models.why import why
from models.workflows import of_params
from tests.models import make

pytestmark = pytest.mark.services

BMC = {"disks": [make.DISK], "nics": [{"mac": make.MAC}], "memory_mib": 1024, "health": "OK"}
FOUND = {
    "system": {"serial": "7XK2"},
    "firmware": {"version": "2.19"},
    "disks": [dict(make.DISK, firmware="F1")],
    "nics": [{"mac": make.MAC}],
    "memory_mib": 1024,
    "tests": [{"name": "cpu", "outcome": "pass"}],
}
BOTH = ("http", "redfish", "inventory-image")


@pytest.fixture
def scene(db):
    scene = make.Scene()
    make.image("inventory-1", image_path=None, image_bytes=None)
    scene.agent = make.Agent(scene.site, BOTH)
    return scene


def commissioning(scene, **asked):
    flow = asks.commission(make.ADA, scene.machine, **asked)
    walks.advance(flow, make.render)
    return flow


def booted(scene, flow):
    """Lead it to where the machine has reported."""
    if scene.view.bmc:
        scene.agent.finish(flow, BMC)
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)
    for result in ({"power": "off"}, {}, {"power": "on"}) if scene.view.bmc else ():
        scene.agent.finish(flow, result)
    scene.boots(Seen.SCRIPT_SERVED, Seen.DEPLOY_STARTED, Seen.DEPLOY_PROGRESS, Seen.INVENTORIED)


def test_a_machine_is_commissioned_by_what_it_and_its_bmc_tell(scene):
    flow = commissioning(scene)
    booted(scene, flow)
    told = Plan.get().body
    scene.agent.finish(flow, {"facts": FOUND})
    scene.agent.finish(flow, {"power": "off"})

    view = scene.view
    assert BootPlan.decode(told).action is Action.INVENTORY
    assert {each["role"] for each in told["files"]} == {"kernel", "initrd"}
    assert (view.state, view.power, view.image_ref) == (State.AVAILABLE, "off", None)
    assert (view.facts["health"], view.facts["system"]["serial"]) == ("OK", "7XK2")
    assert view.facts["disks"] == FOUND["disks"]
    assert view.facts["seen"] == {"bmc": BMC, "image": FOUND}
    assert view.differences == ()
    assert view.phase is Phase.REGISTERED


def test_when_it_is_over_the_machine_boots_its_own_disk_and_keeps_its_address_reserved(scene):
    flow = commissioning(scene)
    booted(scene, flow)
    scene.agent.finish(flow, {"facts": FOUND})
    scene.agent.finish(flow, {"power": "off"})

    assert BootPlan.decode(Plan.get().body).action is Action.LOCAL
    assert Allocation.get().state == "reserved"


def test_a_test_that_fails_fails_the_machine_and_why_says_which(scene):
    flow = commissioning(scene)
    booted(scene, flow)
    bad = {"name": "disk-read", "subject": "sda", "outcome": "fail", "detail": "at MiB 60: error"}
    scene.agent.finish(flow, {"facts": dict(FOUND, tests=[bad])})
    scene.agent.finish(flow, {"power": "off"})

    view = scene.view
    assert (view.state, queries.workflow(flow).progress) == (State.FAILED, Progress.FAILED)
    assert view.differences[0]["severity"] == "critical"
    assert view.facts["tests"] == [bad]
    said = why(view, queries.agents(view.site_id), [], view.updated_at).sentence
    assert "findings-judged: critical: test disk-read of sda: at MiB 60: error" in said


def test_what_was_entered_wrong_is_critical_by_the_bmc_alone_too(scene):
    Machine.update(memory_mib=4096).execute()
    flow = commissioning(scene, inventory=How.BMC)
    scene.agent.finish(flow, BMC)

    assert scene.view.state is State.FAILED
    assert "4096 was entered, 1024 was found" in queries.workflow(flow).detail


@pytest.mark.parametrize("result", [{}, {"facts": None}, {"facts": "much"}])
def test_a_report_without_facts_fails_the_machine(scene, result):
    flow = commissioning(scene)
    booted(scene, flow)
    scene.agent.finish(flow, result)

    assert scene.view.state is State.FAILED
    assert "brought no facts" in queries.workflow(flow).detail


def test_a_machine_that_says_it_failed_is_cleaned_up_after(scene):
    flow = commissioning(scene)
    scene.agent.finish(flow, BMC)
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)
    for result in ({"power": "off"}, {}, {"power": "on"}):
        scene.agent.finish(flow, result)
    data = {"stage": "network", "reason": "no DHCP answer"}
    scene.agent.report(Seen.DEPLOY_FAILED, scene.machine, run=scene.view.run_id, data=data)

    assert scene.view.state is State.FAILED
    assert "no DHCP answer" in queries.workflow(flow).detail
    assert Workflow.select().where(Workflow.kind == "clean-up").count() == 1


def test_a_report_that_comes_twice_late_or_from_a_stranger_moves_nothing(scene):
    flow = commissioning(scene)
    scene.agent.finish(flow, BMC)
    run = scene.view.run_id
    stranger = make.Agent(scene.site, BOTH)
    stranger.report(Seen.PLAN_SERVED, scene.machine, run=run)
    assert queries.workflow(flow).step.name == "plan-served"
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=run)
    for result in ({"power": "off"}, {}, {"power": "on"}):
        scene.agent.finish(flow, result)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INVENTORIED, Seen.INVENTORIED)
    scene.agent.finish(flow, {"facts": FOUND})
    scene.agent.finish(flow, {"power": "off"})
    before = scene.view

    scene.agent.report(Seen.INVENTORIED, scene.machine, run=run)
    scene.agent.report(Seen.DEPLOY_FAILED, scene.machine, run=run)

    assert (scene.view.state, scene.view.facts) == (State.AVAILABLE, before.facts)


def _no_image():
    Image.delete().where(Image.ref.startswith("inventory")).execute()


def _of_another_kind():
    Image.update(architecture="arm64").where(Image.ref.startswith("inventory")).execute()


def _not_whole():
    Image.update(checksums={}).where(Image.ref.startswith("inventory")).execute()


def _an_operating_system():
    Image.update(image_path="disk.raw").where(Image.ref.startswith("inventory")).execute()


@pytest.mark.parametrize("lack", [_no_image, _of_another_kind, _not_whole, _an_operating_system])
def test_without_an_image_the_bmc_is_asked_alone_and_the_workflow_says_why(scene, lack):
    lack()

    flow = commissioning(scene)

    params = queries.workflow(flow).params
    assert params["inventory"] == "bmc"
    assert params["why"] == "the catalogue has no inventory image for x86_64"
    with pytest.raises(NotReady, match="no inventory image"):
        asks.commission(make.ADA, make.machine(scene.site, "node-02", [
            make.interface("52:54:00:00:00:02")]), inventory=How.IMAGE)  # fmt: skip


def test_what_would_come_of_it_shows_the_boot_where_there_will_be_one(scene):
    before = foresight.of(make.ADMIN, scene.machine, Kind.COMMISSION, {})
    _no_image()
    after = foresight.of(make.ADMIN, scene.machine, Kind.COMMISSION, {})

    found = [{step.name for step in each.table.steps} for each in (before, after)]
    assert ["inventoried" in names for names in found] == [True, False]


def test_where_another_gives_addresses_it_is_asked_before_the_boot(scene):
    providing.choose(["ipam", "dhcp"], "example")
    try:
        flow = asks.commission(make.ADA, scene.machine)
    finally:
        providing.choose([], "provisioning.sprout.local")

    names = [step.name for step in of_params(Kind.COMMISSION, queries.workflow(flow).params).steps]
    before = names[: names.index("run-prepared")]
    assert before == ["inventory", "inventory-recorded", "address-given", "reserved"]


def test_without_an_interface_to_boot_from_the_bmc_is_asked_alone(scene):
    nic = make.interface("52:54:00:00:00:09", pxe=False)
    machine = make.machine(scene.site, "node-02", [nic])

    flow = asks.commission(make.ADA, machine)

    assert "0 PXE-enabled interfaces" in queries.workflow(flow).params["why"]


def test_a_machine_without_a_bmc_is_commissioned_by_hand_and_image_or_not_at_all(scene):
    Machine.update(bmc=None).execute()
    flow = commissioning(scene)
    booted(scene, flow)
    scene.agent.finish(flow, {"facts": FOUND})
    done = scene.view
    _no_image()

    assert (done.state, done.facts["seen"]) == (State.AVAILABLE, {"image": FOUND})
    with pytest.raises(NotReady, match="no inventory image"):
        asks.commission(make.ADA, scene.machine)


def test_an_image_that_a_machine_is_to_be_commissioned_by_is_not_deleted(scene):
    commissioning(scene)
    image = Image.get(Image.ref == "inventory-1")

    with pytest.raises(InUse, match="node-01"):
        catalogue.delete(make.ADMIN, "image", image.id, version=None)


def test_where_the_image_went_all_the_same_the_commissioning_fails_and_does_not_hang(scene):
    flow = commissioning(scene)
    _no_image()

    scene.agent.finish(flow, BMC)

    assert scene.view.state is State.FAILED
    assert "run-prepared: what it was to go by is there no more" in queries.workflow(flow).detail
