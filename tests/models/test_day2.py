"""Verbs through the one door: judged, approved once, promised; machines handed out and let go."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from models import database as pool
from models import day2_queries, policy_file, queries
from models.commands import addresses, allocating, approvals, asks, machines, policy, walks
from models.commands.allocating import Wanted
from models.commands.automation import obey
from models.errors import (
    ApprovalNeeded,
    ApprovalUnfit,
    DomainError,
    Exhausted,
    Forbidden,
    IllegalTransition,
    Stale,
    Taken,
    Unknown,
)
from models.kinds import Kind
from models.lifecycle import State
from models.observations import Seen
from models.roles import Grant, Role, parsed
from models.tables import (
    Allocation,
    Approval,
    Audit,
    DomainEvent,
    Machine,
    Observation,
    PolicyDecision,
    Workflow,
)
from models.workflows import AT_ONCE
from tests.models import make

pytestmark = pytest.mark.services

BOB = replace(make.ADMIN, name="bob")
OPERATOR = replace(make.ADA, grants=(Grant(Role.OPERATOR, "ams-1"),))
INSTALLED = (Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture(autouse=True)
def built_in_policy():
    yield
    policy.follow(policy_file.default)


def rules(**document):
    found = policy_file.parse({"version": "1", **document})
    policy.follow(lambda: found)


def approved(machine, action="reboot", by=make.ADMIN, **more):
    new = approvals.NewApproval(machine_id=machine, action=action, decision="approved", **more)
    return approvals.create_approval(by, new)


def reboot(machine, approval=None, by=make.ADMIN):
    return asks.power(by, machine, Kind.REBOOT, approval_id=approval)


def activate(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(*INSTALLED)
    assert scene.view.state is State.ACTIVE


def at_once(*asked):
    """Ask all at the same time, each on a connection of its own; return what came of each."""
    start = Barrier(len(asked))

    def ask(verb):
        with pool.borrowed():
            start.wait()
            try:
                return verb()
            except DomainError as exc:
                return exc

    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(ask, asked))


# --- approvals ---


def test_what_needs_an_approval_is_refused_without_one_and_the_judgement_is_kept(scene):
    with pytest.raises(ApprovalNeeded) as caught:
        reboot(scene.machine)
    kept = policy.keep(caught.value)

    assert not Workflow.select().exists()
    view = day2_queries.policy_decision(kept)
    assert (view.allowed, view.rule, view.actor) == (False, "actions/reboot/approval", "ada")
    assert "sprout approvals create" in view.would_change
    assert policy.keep(caught.value) == kept


def test_an_approval_is_used_up_by_the_verb_that_rests_on_it(scene):
    approval = approved(scene.machine)

    flow = reboot(scene.machine, approval)

    used = day2_queries.approval(approval)
    assert (used.used_by, used.workflow_id) == ("ada", flow)
    (done,) = day2_queries.executions(wanted={"workflow_id": flow})
    assert (done.action, done.approval_id, done.progress) == ("reboot", approval, "running")
    assert day2_queries.policy_decision(done.decision_id).allowed
    assert Audit.select().where(Audit.action == "approval.use").count() == 1
    with pytest.raises(ApprovalUnfit, match="used before"):
        reboot(scene.machine, approval)


def test_an_approval_stays_unused_when_its_verb_is_refused(scene):
    approval = approved(scene.machine)
    asks.commission(make.ADMIN, scene.machine)

    with pytest.raises(IllegalTransition):
        reboot(scene.machine, approval)

    assert day2_queries.approval(approval).used_at is None


def test_of_two_verbs_with_one_approval_at_once_one_is_let_through(scene):
    approval = approved(scene.machine)

    came = at_once(*[lambda: reboot(scene.machine, approval)] * 6)

    assert sum(isinstance(each, UUID) for each in came) == 1
    assert sum(isinstance(each, ApprovalUnfit) for each in came) == 5
    assert Workflow.select().count() == 1


def test_an_approval_of_parameters_is_for_these_alone(scene):
    activate(scene)
    bound = approved(scene.machine, "remote-task", parameters={"command": "uptime"})

    with pytest.raises(ApprovalUnfit, match="other parameters"):
        asks.remote_task(make.ADMIN, scene.machine, "hostname", approval_id=bound)

    assert asks.remote_task(make.ADMIN, scene.machine, "uptime", approval_id=bound)


def test_an_approval_of_receipts_holds_what_is_rendered_to_them(scene):
    rules(actions={"provision": {"approval": {}}})
    system = {"image_ref": scene.image, "profile_ref": scene.profile}
    right = {d.name: d.receipt for d in make.render(None)}
    for receipts, state in (({"script": "0" * 64}, "failed"), (right, "running")):
        approval = approved(scene.machine, "provision", receipts=receipts)
        flow = asks.provision(make.ADMIN, scene.machine, **system, approval_id=approval)
        walks.advance(flow, make.render)
        ended = Workflow.get_by_id(flow)
        assert ended.state == state
        assert ("not what was approved" in ended.detail) is (state == "failed")


def test_an_approval_expires(scene):
    approval = approved(scene.machine, expires_s=60)
    past = datetime.now(UTC) - timedelta(seconds=1)
    Approval.update(expires_at=past).where(Approval.id == approval).execute()

    with pytest.raises(ApprovalUnfit, match="expired"):
        reboot(scene.machine, approval)


def test_nobody_makes_an_approval_longer_than_policy_lets_it_be(scene):
    approval = approved(scene.machine, expires_s=7 * 86_400)

    left = day2_queries.approval(approval).expires_at - datetime.now(UTC)
    assert left <= timedelta(hours=1)


def test_who_has_not_the_role_cannot_approve(scene):
    with pytest.raises(Forbidden, match="takes the role admin"):
        approved(scene.machine, by=OPERATOR)

    assert reboot(scene.machine, approved(scene.machine), by=OPERATOR)


def test_four_eyes_are_two_people(scene):
    rules(actions={"reboot": {"approval": {"four-eyes": "true"}}})

    with pytest.raises(ApprovalUnfit, match="ada may not approve"):
        reboot(scene.machine, approved(scene.machine))

    assert reboot(scene.machine, approved(scene.machine, by=BOB))


def test_an_approval_that_is_not_there_is_an_unknown_reference(scene):
    with pytest.raises(Unknown) as caught:
        reboot(scene.machine, uuid4())

    assert caught.value.field == "/approvalId"


# --- blast radius ---


def test_of_many_destructive_verbs_at_once_no_more_begin_than_may_run(scene):
    rules(**{"at-once": "2", "destructive": ["commission"]})
    for number in range(2, 7):
        nic = make.interface(f"52:54:00:00:00:{number:02x}")
        make.machine(scene.site, f"node-{number:02}", [nic])
    ids = [row.id for row in Machine.select()]

    came = at_once(*[lambda each=each: asks.commission(make.ADMIN, each) for each in ids])

    assert sum(isinstance(each, UUID) for each in came) == 2
    refused = [each for each in came if isinstance(each, Forbidden)]
    assert len(refused) == 4
    assert "2 destructive actions run at ams-1" in str(refused[0])


# --- verbs ---


def test_provisioning_an_active_machine_is_reprovisioning(scene):
    activate(scene)
    system = {"image_ref": scene.image, "profile_ref": scene.profile}

    with pytest.raises(ApprovalNeeded):
        asks.provision(make.ADMIN, scene.machine, **system)

    approval = approved(scene.machine, "reprovision")
    flow = asks.reprovision(make.ADMIN, scene.machine, approval_id=approval)
    assert Workflow.get_by_id(flow).kind == "reprovision"
    assert Workflow.get_by_id(flow).params["image"] == scene.image


def test_a_release_gives_the_address_back_once_no_agent_holds_it(scene):
    activate(scene)
    approval = approved(scene.machine, "release")

    flow = asks.release(make.ADMIN, scene.machine, wipe="none", approval_id=approval)
    walks.advance(flow, make.render)
    for result in ({"power": "off"}, {}):
        scene.agent.finish(flow, result)

    assert (scene.view.state, scene.view.image_ref) == (State.AVAILABLE, None)
    assert addresses.free_addresses() == 0
    scene.agent.beat(digest="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert addresses.free_addresses() == 1
    assert Allocation.get().state == "released"


@pytest.mark.parametrize(
    ("capability", "ask"),
    [
        ("remote-task", lambda m: asks.remote_task(make.ADMIN, m, "uptime", approval_id=None)),
        ("virtual-media", lambda m: asks.media(make.ADMIN, m, "http://x/y.iso")),
    ],
)
def test_what_no_agent_can_do_ends_failed_and_says_so(scene, capability, ask):
    activate(scene)
    rules()

    flow = ask(scene.machine)
    walks.advance(flow, make.render)

    ended = Workflow.get_by_id(flow)
    assert ended.state == "failed"
    assert ended.detail == f"agent-found: the site has no agent with the capability {capability}"
    assert scene.view.state is State.ACTIVE


def test_an_agent_that_can_gets_the_task(scene):
    activate(scene)
    rules()
    able = make.Agent(scene.site, ("remote-task",))

    flow = asks.remote_task(make.ADMIN, scene.machine, "uptime")
    walks.advance(flow, make.render)

    assert Workflow.get_by_id(flow).step == 1
    assert able.heard(make.Kind.TASK)[-1]["params"]["command"] == "uptime"


def test_maintenance_leads_back_and_ends_at_once(scene):
    activate(scene)

    for kind, state in ((Kind.MAINTENANCE, "maintenance"), (Kind.RESUME, "active")):
        flow = Workflow.get_by_id(asks.moved(make.ADMIN, scene.machine, kind))
        assert (flow.state, scene.view.state) == ("succeeded", state)


def test_what_failed_is_cleared_or_retired(scene):
    asks.cancel(make.ADMIN, asks.commission(make.ADMIN, scene.machine))

    asks.moved(make.ADMIN, scene.machine, Kind.CLEAR)
    assert scene.view.state is State.REGISTERED
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)

    assert scene.view.state is State.RETIRED
    for kind in AT_ONCE:
        with pytest.raises(IllegalTransition):
            asks.moved(make.ADMIN, scene.machine, kind)
    with pytest.raises(IllegalTransition):
        asks.power(make.ADMIN, scene.machine, Kind.POWER_ON)


def test_a_command_by_message_meets_the_same_policy(scene):
    body = {"v": 1, "command": "machine.reboot", "machine": "node-01"}
    grants = parsed("ci=operator")

    refused = obey("ci", "m-1", body, grants)
    problem = refused["problem"]
    approval = str(approved(scene.machine))
    done = obey("ci", "m-2", body | {"params": {"approvalId": approval}}, grants)

    assert (refused["ok"], problem["code"]) == (False, "approval-needed")
    kept = day2_queries.policy_decision(UUID(problem["policyDecisionId"]))
    assert (kept.actor, kept.inputs["role"]) == ("amqp:ci", "operator")
    assert done["ok"]


# --- allocation ---


def fleet(scene, count, **more):
    """Add machines that are available; return their ids."""
    ids = []
    for number in range(count):
        nic = make.interface(f"52:54:00:00:07:{number:02x}")
        ids.append(make.machine(scene.site, f"free-{number:02}", [nic], **more))
    Machine.update(state="available").where(Machine.id.in_(ids)).execute()
    return ids


def wanted(scene, count, **more):
    return Wanted(site_id=scene.site, count=count, **more)


def test_machines_are_handed_out_by_what_they_are(scene):
    fleet(scene, 3, labels={"role": "worker", "rack": "4"}, memory_mib=65536, disk_bytes=480)

    found = allocating.allocate(
        make.ADMIN,
        wanted(
            scene,
            2,
            labels={"role": "worker"},
            architecture="x86_64",
            min_memory_mib=65536,
            min_disk_bytes=480,
        ),
        reason="tenant 7",
    )

    assert [queries.machine(each).hostname for each in found] == ["free-00", "free-01"]
    assert {queries.machine(each).state for each in found} == {State.ALLOCATED}
    rows = Audit.select().where(Audit.action == "machine.allocate")
    assert {row.reason for row in rows} == {"tenant 7"}


@pytest.mark.parametrize(
    "more",
    [
        {"labels": {"role": "db"}},
        {"architecture": "arm64"},
        {"min_memory_mib": 65537},
        {"min_disk_bytes": 481},
    ],
    ids=str,
)
def test_what_lacks_anything_is_not_handed_out(scene, more):
    fleet(scene, 2, labels={"role": "worker"}, memory_mib=65536, disk_bytes=480)

    with pytest.raises(Exhausted, match="0 of 1"):
        allocating.allocate(make.ADMIN, wanted(scene, 1, **more))


def test_all_are_handed_out_or_none_and_how_many_there_are_is_told(scene):
    fleet(scene, 2)
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)

    with pytest.raises(Exhausted, match="2 of 3"):
        allocating.allocate(make.ADMIN, wanted(scene, 3))

    assert queries.counts()[State.ALLOCATED] == 0


def test_those_that_were_commissioned_go_first_and_what_was_found_wins(scene):
    first, _ = fleet(scene, 2, memory_mib=1024)
    Machine.update(found_memory_mib=512).where(Machine.id == first).execute()

    found = allocating.allocate(make.ADMIN, wanted(scene, 1, min_memory_mib=1024))

    assert [queries.machine(each).hostname for each in found] == ["free-01"]
    Machine.update(memory_mib=2048).where(Machine.id == scene.machine).execute()
    last = allocating.allocate(make.ADMIN, wanted(scene, 1, min_memory_mib=2048))
    assert last == [scene.machine]
    asks.moved(make.ADMIN, scene.machine, Kind.DEALLOCATE)
    assert scene.view.state is State.REGISTERED


def test_policy_may_want_commissioned_machines_alone(scene):
    rules(actions={"allocate": {"commissioned": "true"}})

    with pytest.raises(Forbidden):
        allocating.allocate(make.ADMIN, wanted(scene, 1))


def test_two_allocations_at_once_share_no_machine_and_neither_takes_a_part(scene):
    fleet(scene, 9)
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)

    came = at_once(*[lambda: allocating.allocate(make.ADMIN, wanted(scene, 2))] * 6)

    given = [each for each in came if isinstance(each, list)]
    assert [len(each) for each in given] == [2, 2, 2, 2]
    assert len({machine for each in given for machine in each}) == 8
    assert all(isinstance(each, list | Exhausted) for each in came)
    assert queries.counts()[State.ALLOCATED] == 8


def test_a_machine_that_is_only_busy_is_waited_for(scene):
    fleet(scene, 1)
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)
    held, done = Barrier(2), Barrier(2)

    def hold():
        with pool.borrowed(), pool.database.atomic():
            Machine.select().where(Machine.hostname == "free-00").for_update().get()
            held.wait()
            done.wait(timeout=60)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(hold)
        held.wait()

        def ask():
            with pool.borrowed():
                return allocating.allocate(make.ADMIN, wanted(scene, 1))

        asked = threads.submit(ask)
        done.wait(timeout=60)
        assert len(asked.result(timeout=60)) == 1


# --- records ---


def test_a_machine_changes_in_what_is_named_alone(scene):
    before = scene.view

    machines.update_machine(
        make.ADMIN, scene.machine, {"labels": {"rack": "7"}, "memory_mib": 1024}, version=1
    )

    view = scene.view
    assert (view.labels, view.memory_mib, view.version) == ({"rack": "7"}, 1024, before.version + 1)
    assert (view.bmc, view.interfaces) == (before.bmc, before.interfaces)
    row = Audit.select().where(Audit.action == "machine.update").get()
    assert row.data["before"] == {"labels": {}, "memoryMib": None}
    assert row.data["after"] == {"labels": {"rack": "7"}, "memoryMib": 1024}
    with pytest.raises(Stale):
        machines.update_machine(make.ADMIN, scene.machine, {"labels": {}}, version=1)


def test_what_was_found_wins_over_what_is_entered_and_the_difference_is_shown(scene):
    flow = asks.commission(make.ADMIN, scene.machine)
    walks.advance(flow, make.render)
    scene.agent.finish(flow, {"memory_mib": 512, "disks": [{"serial": "S1", "bytes": 100}]})

    machines.update_machine(make.ADMIN, scene.machine, {"memory_mib": 1024, "disk_bytes": 90})

    view = scene.view
    assert (view.memory_mib, view.disk_bytes) == (512, 100)
    told = {(d["what"], d["severity"], d["entered"], d["found"]) for d in view.differences}
    assert {("memoryMib", "critical", 1024, 512), ("diskBytes", "info", 90, 100)} <= told


def test_interfaces_swap_names_and_keep_the_address_of_a_mac_that_stays(scene):
    scene.provision()
    asks.cancel(make.ADMIN, queries.machine(scene.machine).workflow.id)
    second = "52:54:00:00:00:22"
    nics = [make.interface(), make.interface(second, "eth1", pxe=False)]
    machines.update_machine(make.ADMIN, scene.machine, {"interfaces": nics})

    swapped = [make.interface(name="eth1"), make.interface(second, "eth0", pxe=False)]
    machines.update_machine(make.ADMIN, scene.machine, {"interfaces": swapped})

    found = {each.mac: (each.name, each.address) for each in scene.view.interfaces}
    assert found == {make.MAC: ("eth1", "10.77.0.10"), second: ("eth0", None)}
    with pytest.raises(IllegalTransition, match="has an address"):
        machines.update_machine(make.ADMIN, scene.machine, {"interfaces": [swapped[1]]})


def test_a_mac_of_another_machine_is_refused_at_its_field(scene):
    mac = "52:54:00:00:00:33"
    make.machine(scene.site, "node-02", [make.interface(mac)])

    nics = [make.interface(), make.interface(mac, "eth1")]

    with pytest.raises(Taken) as caught:
        machines.update_machine(make.ADMIN, scene.machine, {"interfaces": nics})

    assert caught.value.field == "/interfaces/1/macAddress"
    assert len(scene.view.interfaces) == 1


def test_what_a_running_workflow_depends_on_stays(scene):
    asks.commission(make.ADMIN, scene.machine)

    with pytest.raises(IllegalTransition) as caught:
        machines.update_machine(make.ADMIN, scene.machine, {"bmc": None})

    assert caught.value.field == "/bmc"
    machines.update_machine(make.ADMIN, scene.machine, {"labels": {"a": "b"}})


def test_a_machine_that_was_released_and_retired_is_deleted_and_its_audit_stays(scene):
    activate(scene)
    with pytest.raises(IllegalTransition, match="is active"):
        machines.delete_machine(make.ADMIN, scene.machine)
    rules()
    flow = asks.release(make.ADMIN, scene.machine, wipe="none")
    walks.advance(flow, make.render)
    for result in ({"power": "off"}, {}):
        scene.agent.finish(flow, result)
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)
    with pytest.raises(IllegalTransition, match="may still serve"):
        machines.delete_machine(make.ADMIN, scene.machine)
    Allocation.update(state="released").execute()

    machines.delete_machine(make.ADMIN, scene.machine)

    assert not Machine.select().exists()
    assert not Observation.select().exists()
    assert Audit.select().where(Audit.action == "machine.delete").count() == 1
    assert PolicyDecision.select().where(PolicyDecision.machine_id == scene.machine).exists()
    last = DomainEvent.select().order_by(DomainEvent.id.desc()).first()
    assert (last.kind, last.data["hostname"]) == ("deleted", "node-01")
    assert make.machine(scene.site)
