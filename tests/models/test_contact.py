"""Sites out of contact: clocks stand, plans are made whole, owners keep what they may serve."""

import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from itertools import pairwise

import pytest

from models import queries, ranges
from models.bootplan import BootPlan, snapshot_digest
from models.commands import addresses, agents, asks, runs, walks
from models.errors import NotReady
from models.kinds import Kind as Verb
from models.kinds import Progress
from models.lifecycle import State
from models.messages import Kind as MessageKind
from models.observations import Seen
from models.tables import Agent, Allocation, Machine, Plan, Range, Run, Workflow
from tests.models import make


@pytest.fixture
def scene(db):
    return make.Scene()


def digest():
    return snapshot_digest(BootPlan.decode(row.body) for row in Plan.select())


def no_snapshot_yet(agent):
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    Agent.update(snapshot_at=long_ago).where(Agent.id == agent.id).execute()
    Plan.update(updated_at=long_ago).execute()


@pytest.mark.services
def test_a_deadline_that_passes_while_the_owner_is_out_of_contact_is_not_judged(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.silent(3600)

    make.overdue(flow)

    assert scene.view.state is State.PROVISIONING
    assert Workflow.get_by_id(flow).wake_at > datetime.now(UTC)


@pytest.mark.services
def test_rows_of_an_agents_former_life_are_waited_for_too(scene):
    scene.agent.silent(3600)
    row = {"incarnation": "before", "first": 7, "last": 7, "rows": 1}
    spool = {"incarnation": "now", "pending": 0, "rows": 0, "earlier": [row]}

    scene.agent.beat(spool=spool)
    assert not Agent.get_by_id(scene.agent.id).drained

    scene.agent.incarnation = "before"
    scene.agent.report(Seen.ARTIFACT_SERVED, scene.machine, seq=7)
    scene.agent.beat(spool=spool)
    assert Agent.get_by_id(scene.agent.id).drained


@pytest.mark.services
def test_a_machine_that_finished_during_a_cut_longer_than_its_deadlines_becomes_active(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.silent(3 * 3600)
    make.overdue(flow)

    scene.agent.beat(spool={"incarnation": scene.agent.incarnation, "pending": 4, "rows": 0})
    make.overdue(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    assert scene.view.state is State.ACTIVE


@pytest.mark.services
def test_after_a_cut_the_clock_goes_on_from_where_it_stood(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.silent(3600)
    scene.agent.beat(spool={"pending": 0, "rows": 0})

    make.overdue(flow)

    left = (Workflow.get_by_id(flow).deadline_at - datetime.now(UTC)).total_seconds()
    assert left == pytest.approx(3600, abs=5)
    make.overdue(flow)
    assert scene.view.state is State.FAILED


@pytest.mark.services
def test_nothing_is_judged_before_the_whole_spool_has_arrived(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.silent(60)
    known = {"incarnation": scene.agent.incarnation, "pending": 0}
    sent = {**known, "first": 90, "last": 91, "rows": 2}

    scene.agent.report(Seen.DHCP_OFFERED, scene.machine, seq=90)
    scene.agent.beat(spool=sent)
    assert not Agent.get_by_id(scene.agent.id).drained
    scene.agent.report(Seen.DHCP_OFFERED, scene.machine, seq=91)
    scene.agent.beat(spool=sent)

    assert Agent.get_by_id(scene.agent.id).drained
    assert queries.workflow(flow).progress is Progress.RUNNING


@pytest.mark.services
def test_an_agent_that_holds_other_plans_than_it_should_is_sent_all_of_them(scene):
    scene.provision()
    no_snapshot_yet(scene.agent)
    before = len(scene.agent.heard(MessageKind.PLAN))

    scene.agent.beat(digest())
    assert len(scene.agent.heard(MessageKind.PLAN)) == before
    scene.agent.beat("something else")

    [sent] = scene.agent.heard(MessageKind.PLAN)[before:]
    assert (sent["snapshot"], sent["parts"], len(sent["plans"])) == (True, 1, 1)


@pytest.mark.services
def test_a_digest_that_differs_is_no_matter_while_a_plan_is_under_way(scene):
    scene.provision()
    before = len(scene.agent.heard(MessageKind.PLAN))

    scene.agent.beat("something else")

    assert len(scene.agent.heard(MessageKind.PLAN)) == before


@pytest.mark.services
def test_a_snapshot_is_cut_into_messages_that_fit(scene, monkeypatch):
    scene.provision()
    other = make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])
    walks.advance(
        asks.provision(make.ADA, other, image_ref=scene.image, profile_ref=scene.profile),
        make.render,
    )
    monkeypatch.setattr("models.commands.agents.PART_BYTES", 100)

    late = make.Agent(scene.site)

    parts = [each for each in late.heard(MessageKind.PLAN) if each.get("snapshot")]
    assert [(part["part"], part["parts"]) for part in parts] == [(0, 2), (1, 2)]
    assert len({part["snapshot_id"] for part in parts}) == 1


@pytest.mark.services
def test_only_the_owner_of_a_plan_is_told_where_its_files_can_be_fetched(scene):
    other = make.Agent(scene.site)
    flow = scene.provision()
    owner = Run.get(Run.workflow_id == flow).owner_id
    told = {agent.id: agent.heard(MessageKind.PLAN)[-1] for agent in (scene.agent, other)}

    [stranger] = set(told) - {owner}

    assert set(told[owner]["blobs"]) == {"0" * 64, "1" * 64, "2" * 64}
    assert all(url.startswith("/v1/blobs/") for url in told[owner]["blobs"].values())
    assert told[stranger]["blobs"] == {}


@pytest.mark.services
def test_a_run_has_another_owner_only_when_the_first_can_serve_it_no_more(scene):
    flow = scene.provision()
    first = Run.get()
    asks.cancel(make.ADA, flow)
    make.Agent(scene.site)
    scene.agent.silent(60)

    with pytest.raises(NotReady, match="may still serve"):
        scene.provision()
    scene.agent.report(Seen.PLAN_WITHDRAWN, scene.machine, data={"version": 2})
    scene.provision()

    assert Run.get_by_id(first.id).withdrawn_at is not None
    assert Run.get(Run.epoch == 2).owner_id != first.owner_id


@pytest.mark.services
def test_a_run_that_has_run_out_binds_its_owner_no_more(scene):
    asks.cancel(make.ADA, scene.provision())
    make.Agent(scene.site)
    scene.agent.silent(60)
    Run.update(valid_until=datetime.now(UTC) - timedelta(seconds=1)).execute()

    scene.provision()

    assert Run.get(Run.epoch == 2).owner_id != scene.agent.id


@pytest.mark.services
def test_an_address_is_free_only_when_no_agent_may_serve_it_any_more(scene):
    asks.cancel(make.ADA, scene.provision())
    second = make.network(
        scene.site,
        name="other",
        cidr="10.78.0.0/24",
        range_start="10.78.0.10",
        range_end="10.78.0.99",
    )
    flow = asks.provision(
        make.ADA,
        scene.machine,
        image_ref=scene.image,
        profile_ref=scene.profile,
        network_id=second,
    )
    walks.advance(flow, make.render)

    assert addresses.free_addresses() == 0
    scene.agent.beat(digest())

    assert addresses.free_addresses() == 1
    assert Allocation.get(Allocation.state == "released").address == "10.77.0.10"


@pytest.mark.services
def test_agents_of_a_site_hold_disjoint_ranges_of_its_pool(scene):
    make.network(
        scene.site,
        name="pool",
        cidr="10.79.0.0/24",
        range_start="10.79.0.10",
        range_end="10.79.0.19",
        pool_start="10.79.0.100",
        pool_end="10.79.0.227",
        dhcp_mode="full",
    )
    first, second = make.Agent(scene.site), make.Agent(scene.site)

    held = [agent.heard(MessageKind.PLAN)[0]["ranges"] for agent in (first, second)]

    assert all(held)
    rows = sorted((IPv4Address(r.first), IPv4Address(r.last)) for r in Range.select())
    assert all(a[1] < b[0] for a, b in pairwise(rows))


@pytest.mark.services
def test_a_range_returns_when_its_agent_was_silent_for_longer_than_any_lease(scene):
    make.network(
        scene.site,
        name="pool",
        cidr="10.79.0.0/24",
        range_start="10.79.0.10",
        range_end="10.79.0.19",
        pool_start="10.79.0.100",
        pool_end="10.79.0.100",
        dhcp_mode="full",
    )
    first = scene.agent
    second = make.Agent(scene.site)
    assert not second.heard(MessageKind.PLAN)[0]["ranges"]

    first.silent(3 * 24 * 3600)
    second.register()

    told = [each for each in second.heard(MessageKind.PLAN) if "ranges" in each]
    assert told[-1]["ranges"]


@pytest.mark.parametrize("size", [1, 3, 16, 17, 1000])
def test_slices_cover_a_pool_without_a_gap_or_an_overlap(size):
    first = IPv4Address("10.0.0.1")

    cut = ranges.slices(first, first + size - 1)

    assert cut[0].first == first
    assert cut[-1].last == first + size - 1
    assert all(a.last + 1 == b.first for a, b in pairwise(cut))


@pytest.mark.services
@pytest.mark.parametrize(("minutes", "state"), [(10, State.PROVISIONING), (40, State.FAILED)])
def test_a_spool_that_still_arrives_is_waited_for_though_not_for_ever(scene, minutes, state):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.silent(4000)
    scene.agent.beat(spool={"incarnation": scene.agent.incarnation, "pending": 200, "rows": 0})
    back = datetime.now(UTC) - timedelta(minutes=minutes)
    Agent.update(contact_since=back, away_s=0).where(Agent.id == scene.agent.id).execute()
    Workflow.update(away_s=0).execute()

    scene.agent.report(Seen.ARTIFACT_SERVED, scene.machine, run=scene.view.run_id)
    make.overdue(flow)

    assert scene.view.state is state


@pytest.mark.services
@pytest.mark.parametrize(
    ("offset_ms", "said"),
    [(7_200_000, "2 hours ahead of control's"), (-90_000, "1.5 minutes behind control's")],
)
def test_an_agent_whose_clock_is_wrong_is_given_no_work(scene, offset_ms, said):
    scene.agent.beat(clock_offset_ms=offset_ms)

    with pytest.raises(NotReady, match=said):
        asks.power(make.ADA, scene.machine, Verb.POWER_ON)

    other = make.Agent(scene.site)
    assert agents.newest_live(scene.site, "http", sticky=scene.agent.id).id == other.id


@pytest.mark.services
def test_an_agent_whose_clock_was_set_right_is_given_work_again(scene):
    scene.agent.beat(clock_offset_ms=7_200_000)
    scene.agent.beat(clock_offset_ms=-400)

    assert agents.newest_live(scene.site, "http").id == scene.agent.id


@pytest.mark.services
def test_the_owner_of_an_installer_whose_clock_is_wrong_is_not_passed_over(scene):
    flow = scene.provision()
    scene.powered(flow)
    asks.cancel(make.ADA, flow, reason="again")
    make.Agent(scene.site)
    scene.agent.beat(clock_offset_ms=7_200_000)

    with pytest.raises(NotReady, match="clock"):
        runs.owner(Machine.get_by_id(scene.machine))


@pytest.mark.services
def test_a_heartbeat_that_waited_does_not_make_a_clock_wrong(scene):
    scene.agent.beat(clock=time.time() - 3600)

    assert agents.newest_live(scene.site, "http").id == scene.agent.id
