"""Engine, leases and boot owner while messages repeat, overtake and vanish, and anything dies."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from models import database as pool
from models.bootplan import BootPlan
from models.commands import providing
from models.errands import Ended
from models.kinds import Kind
from models.lifecycle import WORKING, State
from models.observations import Seen
from models.tables import Allocation, Errand, Plan, Workflow
from models.workflows import of_params
from tests.faults.world import World

pytestmark = pytest.mark.services

EXAMPLES = int(os.environ.get("FAULTS", "25"))
PHASES = [phase for phase in Phase if phase is not Phase.shrink or "SHRINK" in os.environ]

SETTINGS = {
    "max_examples": EXAMPLES,
    "stateful_step_count": 50,
    "deadline": None,
    "phases": PHASES,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
ENDS = [
    Ended(done=True),
    Ended(done=False, reason="answers 503", retryable=True),
    Ended(done=False, reason="answers 422"),
]

died = st.none() | st.integers(min_value=0, max_value=40)
which = st.integers(min_value=0, max_value=1)
CALLBACKS = [Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME, Seen.INSTALL_FAILED]


class Faults(RuleBasedStateMachine):
    """What may happen, in any order; and what must hold after each of it."""

    def __init__(self):
        super().__init__()
        self.world = World()

    @rule(die=died)
    def somebody_provisions(self, die):
        self.world.ask(self.world.provision, die_after=die)

    @rule(die=died)
    def somebody_cancels(self, die):
        self.world.ask(self.world.cancel, die_after=die)

    @rule(kind=st.sampled_from([Kind.POWER_ON, Kind.POWER_OFF]), die=died)
    def somebody_asks_for_power(self, kind, die):
        self.world.ask(lambda: self.world.power(kind), die_after=die)

    @rule(die=died)
    def the_relay_turns(self, die):
        self.world.relay(die_after=die)

    @precondition(lambda self: self.world.wire)
    @rule(data=st.data(), keep=st.booleans(), die=died)
    def a_message_arrives(self, data, keep, die):
        index = data.draw(st.integers(min_value=0, max_value=len(self.world.wire) - 1))
        self.world.deliver(index, keep=keep, die_after=die)

    @precondition(lambda self: self.world.wire)
    @rule()
    def all_that_is_under_way_arrives_backwards(self):
        for message in reversed(list(self.world.wire)):
            if message in self.world.wire:
                self.world.deliver(self.world.wire.index(message))

    @precondition(lambda self: any(m.dies_at is not None for m in self.world.wire))
    @rule(data=st.data())
    def a_command_is_lost(self, data):
        lossy = [m for m in self.world.wire if m.dies_at is not None]
        self.world.wire.remove(data.draw(st.sampled_from(lossy)))

    @rule(die=died)
    def the_reaper_turns(self, die):
        self.world.reap(die_after=die)

    @rule(who=which)
    def an_agent_speaks(self, who):
        agent = self.world.agents[who]
        agent.beat()
        agent.renew()
        agent.flush()

    @rule(who=which, die=st.booleans())
    def an_agent_works(self, who, die):
        self.world.agents[who].work(die_after_post=die)

    @rule(who=which)
    def an_agent_is_killed_and_starts_again(self, who):
        self.world.agents[who].restart()

    @rule(who=which)
    def an_uplink_is_cut_or_mended(self, who):
        agent = self.world.agents[who]
        agent.cut = not agent.cut

    @rule()
    def the_machine_boots(self):
        self.world.boot()

    @rule(kind=st.sampled_from(CALLBACKS))
    def the_installer_reports(self, kind):
        self.world.proceed(kind)

    @rule(seconds=st.sampled_from([1, 7, 40, 200, 3000, 30000]))
    def time_passes(self, seconds):
        self.world.pass_time(seconds)

    @rule(rounds=st.integers(min_value=1, max_value=8))
    def things_go_well_for_a_while(self, rounds):
        for _ in range(rounds):
            self.world.live_on()

    @rule(rounds=st.integers(min_value=2, max_value=8))
    def an_installation_is_asked_for_and_comes_far(self, rounds):
        self.world.ask(self.world.provision)
        for _ in range(rounds):
            self.world.live_on()
        self.world.boot()

    @rule()
    def all_that_is_promised_arrives(self):
        self.world.settle()

    @rule(who=which, seconds=st.sampled_from([20, 32, 40]))
    def an_agent_is_granted_a_lease_and_then_falls_silent(self, who, seconds):
        self.world.settle()
        agent = self.world.agents[who]
        agent.beat()
        agent.renew()
        self.world.settle()
        agent.cut = True
        other = self.world.agents[1 - who]
        other.cut = False
        for _ in range(seconds // 10):
            other.beat()
            self.world.settle()
            self.world.pass_time(10)
        other.beat()
        self.world.settle()
        self.world.reap()
        self.world.settle()
        other.renew()
        self.world.settle()

    @rule(die=st.booleans())
    def every_agent_works(self, die):
        for agent in self.world.agents:
            agent.work(die_after_post=die)

    @rule()
    def the_machine_moves_to_another_network(self):
        self.world.ask(self.world.cancel)
        self.world.ask(self.world.provision_elsewhere)

    @invariant()
    def nothing_was_done_that_must_not_be(self):
        assert self.world.wrongs == []

    @invariant()
    def a_machine_works_exactly_while_one_lifecycle_workflow_runs(self):
        running = Workflow.select().where((Workflow.state == "running") & Workflow.lifecycle)
        working = State(self.world.row.state) in WORKING
        assert running.count() == (1 if working else 0)

    @invariant()
    def an_address_that_may_be_served_is_not_free(self):
        rows = list(Allocation.select())
        freed = {row.address for row in rows} - {r.address for r in rows if r.state != "released"}
        served = {
            plan.addressing.address
            for agent in self.world.agents
            for plan in agent.plans.values()
            if plan is not None
        }
        assert not freed & served

    @invariant()
    def at_most_one_agent_holds_a_lease(self):
        clock = self.world.clock
        holders = [
            task.body["epoch"]
            for agent in self.world.agents
            for task in agent.tasks.values()
            if task.state != "ended" and task.lease_until > clock
        ]
        assert len(holders) <= 1

    def teardown(self):
        """Whatever happened: when all works again nothing is stuck, and what is asked is done."""
        world = self.world
        self.peace(lambda: not Workflow.select().where(Workflow.state == "running").exists())
        running = list(Workflow.select().where(Workflow.state == "running"))
        assert [(flow.kind, flow.step, flow.detail) for flow in running] == []
        assert State(world.row.state) not in WORKING
        for row in Plan.select():
            assert BootPlan.decode(row.body).version == world.row.plan_version
        world.ask(world.provision)
        self.peace(lambda: world.row.state != State.PROVISIONING.value)
        assert State(world.row.state) is State.ACTIVE

    def peace(self, done):
        """Let time pass in a world where everything works, until *done*."""
        for _ in range(120):
            self.world.live_on()
            if done():
                return
            self.world.boot()
            for kind in (Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME):
                self.world.proceed(kind)
            self.world.pass_time(25)  # less than a silence


class OutsideFaults(Faults):
    """The same, where an outside name server is asked before a machine boots."""

    @rule(die=died)
    def somebody_runs_an_errand(self, die):
        self.world.take_errand(die_after=die)

    @precondition(lambda self: self.world.errands)
    @rule(data=st.data(), how=st.sampled_from(ENDS), die=died)
    def an_errand_ends(self, data, how, die):
        index = data.draw(st.integers(min_value=0, max_value=len(self.world.errands) - 1))
        self.world.end_errand(index, how, die_after=die)

    @invariant()
    def nobody_waits_for_an_errand_that_is_none(self):
        waiting = Workflow.select().where((Workflow.state == "running") & (Workflow.attempt > 0))
        for flow in waiting:
            step = of_params(Kind(flow.kind), flow.params).steps[flow.step]
            if step.errand is not None and flow.outcome == "open":
                assert Errand.get_by_id(flow.task_id).finished_at is None

    @invariant()
    def a_machine_that_boots_is_known_by_its_name(self):
        if self.world.installing is not None and self.world.row.state == "provisioning":
            assert self.world.names


@pytest.fixture
def outside():
    providing.choose({"dns"}, "prov.example")
    yield
    providing.choose((), "provisioning.sprout.local")


@pytest.mark.timeout(60 + 8 * EXAMPLES)
def test_whatever_dies_an_outside_name_server_is_asked_until_it_is_known_what_it_holds(db, outside):
    run(OutsideFaults, settings=settings(**SETTINGS | {"max_examples": max(4, EXAMPLES // 4)}))
    assert not pool.database.in_transaction()


@pytest.mark.timeout(60 + 8 * EXAMPLES)
def test_whatever_dies_or_goes_astray_nothing_is_done_twice_and_nothing_is_stuck(db):
    run(Faults, settings=settings(**SETTINGS))
    assert not pool.database.in_transaction()
