"""A machine that failed is handed on when it was given back, and not before."""

import pytest

from models.commands import approvals, asks, confirming, walks
from models.errors import IllegalTransition
from models.kinds import Kind
from models.lifecycle import State
from models.observations import Seen
from models.tables import ActionExecution, Allocation, Machine, Workflow
from tests.models import make

pytestmark = pytest.mark.services

INSTALLED = (Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)


@pytest.fixture
def active(db):
    scene = make.Scene()
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(*INSTALLED)
    return scene


def approved(scene, action):
    new = approvals.NewApproval(machine_id=scene.machine, action=action, decision="approved")
    return approvals.create_approval(make.ADMIN, new)


def released(scene, **words):
    flow = asks.release(make.ADMIN, scene.machine, approval_id=approved(scene, "release"), **words)
    walks.advance(flow, make.render)
    return flow


def retired(scene):
    return asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)


def address(scene):
    return Allocation.get(Allocation.machine_id == scene.machine).state


def switched_off(scene):
    """Have the clean-up of what failed do its work."""
    flow = Workflow.get(Workflow.kind == Kind.CLEAN_UP.value, Workflow.state == "running").id
    walks.advance(flow, make.render)
    for result in ({"power": "off"}, {}):
        scene.agent.finish(flow, result)


def left_on(scene):
    """Have nobody switch off what failed."""
    asks.cancel(make.ADMIN, Workflow.get(Workflow.kind == Kind.CLEAN_UP.value).id)


def failed_release(scene):
    flow = released(scene)
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.DEPLOY_STARTED, Seen.DEPLOY_FAILED)
    assert scene.view.state is State.FAILED


HANDING_ON = [
    lambda scene: asks.moved(make.ADMIN, scene.machine, Kind.CLEAR),
    lambda scene: asks.commission(make.ADMIN, scene.machine),
]


@pytest.mark.parametrize("handed_on", HANDING_ON, ids=["clear", "commission"])
def test_a_machine_whose_release_failed_is_not_handed_on_with_what_lies_on_its_disks(
    active, handed_on
):
    failed_release(active)
    switched_off(active)

    with pytest.raises(IllegalTransition, match="disks hold what was installed") as caught:
        handed_on(active)

    assert "sprout machines release node-01 --wipe none" in caught.value.hint
    assert (active.view.state, address(active)) == (State.FAILED, "active")


@pytest.mark.parametrize("handed_on", HANDING_ON, ids=["clear", "commission"])
def test_a_machine_whose_reprovisioning_was_cancelled_is_not_handed_on_either(active, handed_on):
    approval = approved(active, "reprovision")
    flow = asks.reprovision(make.ADMIN, active.machine, approval_id=approval)
    asks.cancel(make.ADMIN, flow)

    with pytest.raises(IllegalTransition, match="disks hold what was installed"):
        handed_on(active)


def test_a_machine_whose_reprovisioning_was_cancelled_is_provisioned_anew(active):
    approval = approved(active, "reprovision")
    asks.cancel(make.ADMIN, asks.reprovision(make.ADMIN, active.machine, approval_id=approval))

    active.provision()

    assert active.view.state is State.PROVISIONING


def test_whoever_says_that_disks_stay_as_they_are_has_the_machine_and_is_named(active):
    failed_release(active)
    switched_off(active)

    flow = released(active, wipe="none")
    for result in ({"power": "off"}, {}):
        active.agent.finish(flow, result)

    said = ActionExecution.get(ActionExecution.workflow_id == flow)
    assert active.view.state is State.AVAILABLE
    assert (said.parameters, said.requested_by) == ({"wipe": "none"}, "ada")


def test_what_was_given_back_and_fails_again_is_cleared(active):
    flow = released(active, wipe="none")
    for result in ({"power": "off"}, {}):
        active.agent.finish(flow, result)
    asks.cancel(make.ADMIN, asks.commission(make.ADMIN, active.machine))

    HANDING_ON[0](active)

    assert active.view.state is State.REGISTERED


def test_a_host_that_may_still_run_keeps_its_address_when_its_machine_is_to_retire(active):
    failed_release(active)
    left_on(active)
    kept = Machine.get_by_id(active.machine).bmc

    with pytest.raises(IllegalTransition, match=r"may still run as 10\.77\.0\.10") as caught:
        retired(active)

    assert "sprout machines power-off node-01" in caught.value.hint
    assert (active.view.state, address(active)) == (State.FAILED, "active")
    assert Machine.get_by_id(active.machine).bmc == kept


def test_a_host_that_was_seen_off_gives_its_address_back_when_its_machine_retires(active):
    failed_release(active)
    switched_off(active)

    retired(active)

    assert (active.view.state, address(active)) == (State.RETIRED, "releasing")


def test_where_no_bmc_can_tell_a_person_says_that_a_host_is_off(active):
    failed_release(active)
    left_on(active)
    Machine.update(bmc=None).execute()
    flow = asks.power(make.ADMIN, active.machine, Kind.POWER_OFF)
    walks.advance(flow, make.render)
    confirming.confirm(make.ADMIN, flow, "power-off")

    retired(active)

    assert (active.view.state, address(active)) == (State.RETIRED, "releasing")


def test_what_failed_without_an_address_retires_at_once(db):
    scene = make.Scene()
    asks.cancel(make.ADMIN, asks.commission(make.ADMIN, scene.machine))

    retired(scene)

    assert scene.view.state is State.RETIRED
