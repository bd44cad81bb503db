"""What is said beside a change, or by another site of a machine, frees and moves nothing."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from uuid import uuid4

import pytest

from models import database as pool
from models.bootplan import BootPlan, snapshot_digest
from models.commands import addresses, agents, asks, runs, walks
from models.database import borrowed
from models.errors import Denied, Invalid
from models.kinds import Progress
from models.lifecycle import State
from models.messages import Envelope
from models.messages import Kind as MessageKind
from models.observations import Seen
from models.tables import Agent, Allocation, Audit, Machine, Observation, Plan, Run, Workflow
from tests.models import make

pytestmark = pytest.mark.services

BOOTED = (Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def stranger(scene):
    return make.Agent(make.site("elsewhere"))


def digest():
    return snapshot_digest(BootPlan.decode(row.body) for row in Plan.select())


@contextmanager
def uncommitted(change):
    """Have *change* made by another connection, and committed only after the block."""
    done, go_on = Event(), Event()

    def make_it():
        with borrowed(), pool.database.atomic():
            change()
            done.set()
            go_on.wait(60)

    with ThreadPoolExecutor(1) as threads:
        made = threads.submit(make_it)
        assert done.wait(60)
        try:
            yield
        finally:
            go_on.set()
            made.result(60)


@pytest.mark.parametrize("kinds", [BOOTED, (Seen.INSTALL_FAILED,)], ids=["installed", "failed"])
def test_a_site_cannot_carry_on_what_another_site_runs(scene, stranger, kinds):
    flow = scene.provision()
    scene.powered(flow)
    run = scene.view.run_id

    for kind in kinds:
        stranger.report(kind, None, run=run)
    scene.boots(Seen.SCRIPT_SERVED)

    said = Observation.select().where(Observation.site_id == stranger.site)
    assert scene.view.state is State.PROVISIONING
    assert Workflow.get_by_id(flow).state == Progress.RUNNING.value
    assert {(row.run_id, row.data["said_run"]) for row in said} == {(None, str(run))}


def test_a_machine_cannot_carry_on_what_another_runs(scene):
    scene.powered(scene.provision())
    other = make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])

    for kind in BOOTED:
        scene.agent.report(kind, other, run=scene.view.run_id)
    scene.boots(Seen.SCRIPT_SERVED)

    assert scene.view.state is State.PROVISIONING


@pytest.mark.parametrize("data", [{"version": 7}, {"digest": "0" * 64}])
def test_only_the_owner_says_that_the_plan_is_served_and_only_of_this_plan(scene, data):
    flow = scene.provision()
    other = make.Agent(scene.site)
    begun = Workflow.get_by_id(flow).step

    other.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id, data=data)
    kept = Workflow.get_by_id(flow).step
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)

    assert kept == begun
    assert Workflow.get_by_id(flow).step > begun


def test_an_address_is_not_free_when_a_heartbeat_was_read_beside_the_change(scene):
    asks.cancel(make.ADA, scene.provision())
    more = {"range_start": "10.78.0.10", "range_end": "10.78.0.20"}
    second = make.network(scene.site, name="second", cidr="10.78.0.0/24", **more)
    held = digest()
    refs = {"image_ref": scene.image, "profile_ref": scene.profile}
    flow = asks.provision(make.ADA, scene.machine, network_id=second, **refs)

    with uncommitted(lambda: walks.advance(flow, make.render)):
        scene.agent.beat(held)
    beside = addresses.free_addresses()
    scene.agent.beat(digest())

    assert (beside, addresses.free_addresses()) == (0, 1)
    assert Allocation.get(Allocation.state == "released").address == "10.77.0.10"


def test_a_run_is_not_over_at_an_agent_whose_heartbeat_was_read_beside_the_withdrawal(scene):
    flow = scene.provision()
    scene.powered(flow)
    held = digest()

    with uncommitted(lambda: asks.cancel(make.ADA, flow)):
        scene.agent.beat(held)
    beside = Run.get().withdrawn_at
    scene.agent.beat(digest())

    assert beside is None
    assert Run.get().withdrawn_at is not None


def test_after_a_restore_into_another_cluster_addresses_become_free_again(scene):
    asks.cancel(make.ADA, scene.provision())
    Allocation.update(state="releasing").execute()
    pool.database.execute_sql("ALTER TABLE plans DISABLE TRIGGER plans_count_changes")
    pool.database.execute_sql("UPDATE plans SET changed = '999999999999'")
    pool.database.execute_sql("ALTER TABLE plans ENABLE TRIGGER plans_count_changes")
    scene.agent.beat(digest())
    before = addresses.free_addresses()

    runs.renumber()
    scene.agent.beat(digest())

    assert (before, addresses.free_addresses()) == (0, 1)


def unrendered(_intent):
    raise Invalid("the template does not fit")


@pytest.mark.parametrize("advertise", [{}, {"boot_base_url": "http://10.77.0.1:8081"}])
def test_a_run_that_was_refused_leaves_no_trace_of_itself(scene, advertise):
    Agent.update(advertise=advertise).execute()
    refs = {"image_ref": scene.image, "profile_ref": scene.profile}
    flow = asks.provision(make.ADA, scene.machine, **refs)

    walks.advance(flow, unrendered)

    machine = Machine.get_by_id(scene.machine)
    assert (machine.state, machine.run_id, machine.epoch) == ("failed", None, 0)
    assert Workflow.get_by_id(flow).run_id is None
    assert Observation.select().where(~Observation.run_id.is_null()).count() == 0


def test_an_agent_of_another_site_cannot_be_spoken_for_and_the_try_is_audited(scene, stranger):
    before = Agent.get_by_id(scene.agent.id)
    body = {"hostname": "mallory", "incarnation": uuid4().hex}
    envelope = Envelope(
        kind=MessageKind.REGISTER, site=stranger.site, agent=scene.agent.id, body=body
    )

    with pytest.raises(Denied):
        agents.register(envelope)

    after = Agent.get_by_id(scene.agent.id)
    assert (after.hostname, after.snapshot_at) == (before.hostname, before.snapshot_at)
    row = Audit.select().order_by(Audit.id.desc()).first()
    assert (row.action, row.outcome) == ("message.register", "refused")
    assert row.site_id == stranger.site
