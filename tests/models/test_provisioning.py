"""The thread through the domain, on a real database, with an agent that speaks its messages."""

import dataclasses
from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import uuid4

import pytest
from peewee import DatabaseError, InternalError

from models import database as pool
from models import lists, outbox, queries
from models.commands import agents, asks, moves, reports, walks
from models.errors import IllegalTransition, Invalid, NotReady, Unknown
from models.kinds import Progress
from models.lifecycle import State
from models.messages import Kind as MessageKind
from models.observations import URGENT, Seen
from models.phases import Phase
from models.tables import (
    Agent,
    Allocation,
    Audit,
    Machine,
    Observation,
    Outbox,
    Plan,
    Run,
    Task,
    Workflow,
)
from models.why import why
from tests.models import make

pytestmark = pytest.mark.services

FACTS = {"disks": [make.DISK], "nics": [{"mac": make.MAC}], "memory_mib": 1024}


@pytest.fixture
def scene(db):
    return make.Scene()


def test_what_is_only_kept_of_a_machine_does_not_wait_for_who_moves_it(scene):
    """Else two batches of reports that hold each other's machines would deadlock."""

    def report():
        with pool.borrowed():
            scene.agent.report(Seen.DHCP_OFFERED, scene.machine)

    reporting = Thread(target=report)
    with pool.database.atomic():
        moves.locked(scene.machine)
        reporting.start()
        reporting.join(60)
        waited = reporting.is_alive()
    reporting.join()

    assert not waited


def test_commissioning_takes_the_inventory_and_makes_the_machine_available(scene):
    flow = asks.commission(make.ADA, scene.machine, reason="adopt")
    walks.advance(flow, make.render)
    scene.agent.finish(flow, FACTS)

    assert scene.view.state is State.AVAILABLE
    assert scene.view.facts == FACTS
    assert queries.workflow(flow).progress is Progress.SUCCEEDED


def test_provisioning_leads_from_registered_to_active_step_by_step(scene):
    flow = scene.provision()
    phases = [scene.view.phase]
    scene.powered(flow)
    for kind in (Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED):
        scene.boots(kind)
        phases.append(scene.view.phase)
    scene.boots(Seen.PHONED_HOME)

    assert phases == [Phase.PXE_READY, Phase.PXE_BOOTED, Phase.INSTALLING, Phase.INSTALLED]
    assert (scene.view.state, scene.view.phase) == (State.ACTIVE, Phase.READY)
    assert scene.view.address == "10.77.0.10"
    assert scene.view.power == "on"


def test_a_run_goes_on_past_what_only_a_newer_control_knows(scene):
    flow = scene.provision()
    scene.powered(flow)
    newer = Observation.select().where(Observation.run_id.is_null(False)).get()
    known = {field: newer.__data__[field] for field in ("machine_id", "site_id", "run_id")}
    Observation.create(
        **known, source="boot", kind="seen-by-tomorrow", at=datetime.now(UTC), applied=True
    )

    for kind in (Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME):
        scene.boots(kind)

    assert scene.view.state is State.ACTIVE


def test_state_audit_and_promise_are_written_together(scene):
    before = Outbox.select().count()

    asks.provision(make.ADA, scene.machine, image_ref=scene.image, profile_ref=scene.profile)

    assert scene.view.state is State.PROVISIONING
    assert Audit.select().where(Audit.action == "machine.provision").count() == 1
    assert Outbox.select().count() == before + 1


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"image_ref": "none"}, Unknown, "/imageRef"),
        ({"profile_ref": "none"}, Unknown, "/profileRef"),
        ({"network_id": uuid4()}, Unknown, "/networkId"),
    ],
)
def test_a_refused_provision_leaves_no_trace(scene, change, error, field):
    outbox_rows, audit_rows = Outbox.select().count(), Audit.select().count()
    wanted = {"image_ref": scene.image, "profile_ref": scene.profile} | change

    with pytest.raises(error) as caught:
        asks.provision(make.ADA, scene.machine, **wanted)

    assert caught.value.field == field
    assert scene.view.state is State.REGISTERED
    assert not Workflow.select().exists()
    assert (Outbox.select().count(), Audit.select().count()) == (outbox_rows, audit_rows)


def test_a_bmc_is_led_only_by_an_agent_that_speaks_its_protocol(scene):
    Machine.update(bmc={"protocol": "ipmi", "address": "10.0.1.11"}).execute()

    with pytest.raises(NotReady, match="can do ipmi") as caught:
        asks.commission(make.ADA, scene.machine, reason="adopt")
    able = make.Agent(scene.site, ("http", "ipmi"))
    flow = asks.commission(make.ADA, scene.machine, reason="adopt")
    walks.advance(flow, make.render)

    assert "ipmitool" in caught.value.hint
    assert Task.get(Task.workflow_id == flow).agent_id == able.id


def test_a_plan_carries_the_loaders_of_its_machine(scene):
    chosen = {"uefi-x64": "shimx64.efi"}
    Machine.update(loaders=chosen).execute()

    scene.provision()

    assert Plan.get().body["loaders"] == chosen


def test_an_image_of_another_architecture_is_refused(scene):
    make.image("arm", architecture="arm64")

    with pytest.raises(Invalid):
        asks.provision(make.ADA, scene.machine, image_ref="arm", profile_ref=scene.profile)


@pytest.mark.parametrize("count", [0, 2])
def test_a_machine_needs_exactly_one_pxe_interface(scene, count):
    nics = [make.interface(f"52:54:00:00:01:0{n}", f"eth{n}") for n in range(count)]
    machine = make.machine(scene.site, f"odd-{count}", nics)

    with pytest.raises(NotReady) as caught:
        asks.provision(make.ADA, machine, image_ref=scene.image, profile_ref=scene.profile)

    assert caught.value.field == "/interfaces"


def test_a_site_with_two_provisioning_networks_wants_one_named(scene):
    other = make.network(
        scene.site,
        name="second",
        cidr="10.78.0.0/24",
        range_start="10.78.0.10",
        range_end="10.78.0.20",
    )

    with pytest.raises(NotReady) as caught:
        asks.provision(make.ADA, scene.machine, image_ref=scene.image, profile_ref=scene.profile)
    asks.provision(
        make.ADA, scene.machine, image_ref=scene.image, profile_ref=scene.profile, network_id=other
    )

    assert caught.value.field == "/networkId"


def test_a_site_without_a_live_agent_cannot_provision(scene):
    Agent.update(last_seen_at=datetime.now(UTC) - timedelta(minutes=5)).execute()

    with pytest.raises(NotReady):
        asks.provision(make.ADA, scene.machine, image_ref=scene.image, profile_ref=scene.profile)


def test_a_machine_has_one_lifecycle_workflow_at_a_time(scene):
    scene.provision()

    with pytest.raises(IllegalTransition):
        scene.provision()
    with pytest.raises(IllegalTransition):
        asks.boot_source(make.ADA, scene.machine, "pxe")


def test_a_report_that_comes_twice_is_kept_once_and_moves_once(scene):
    flow = scene.provision()
    message = scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)
    rows = len(queries.timeline(scene.machine))

    reports.receive(message, make.render)

    assert len(queries.timeline(scene.machine)) == rows
    assert Task.select().where(Task.workflow_id == flow).count() == 1


def test_sightings_that_come_in_the_wrong_order_lead_to_the_same_end(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.PHONED_HOME, Seen.INSTALLED, Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED)

    assert scene.view.state is State.ACTIVE


def test_last_weeks_installed_moves_nothing_in_this_weeks_run(scene):
    flow = scene.provision()
    old = scene.view.run_id
    asks.cancel(make.ADA, flow)
    flow = scene.provision()
    scene.powered(flow)

    scene.agent.report(Seen.INSTALLED, scene.machine, run=old)

    assert scene.view.phase is Phase.PXE_READY
    assert not queries.timeline(scene.machine)[-1].applied


def test_cancelling_fails_the_machine_withdraws_its_plan_and_ignores_what_comes_late(scene):
    flow = scene.provision()
    run, version = scene.view.run_id, scene.view.plan_version

    asks.cancel(make.ADA, flow, reason="wrong machine")
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=run)

    plan = Plan.get_by_id(scene.machine)
    assert (scene.view.state, scene.view.phase) == (State.FAILED, Phase.FAILED)
    assert (plan.body["action"], plan.version) == ("local", version + 1)
    assert plan.body["documents"] == []
    assert queries.workflow(flow).progress is Progress.CANCELLED


def test_a_refused_plan_fails_the_run_with_its_reason_and_a_retry_works(scene):
    flow = scene.provision()
    scene.agent.report(
        Seen.PLAN_REFUSED, scene.machine, run=scene.view.run_id, data={"reason": "wrong checksum"}
    )
    failed = scene.view

    scene.powered(again := scene.provision())

    assert failed.state is State.FAILED
    assert queries.workflow(flow).detail == "plan-served: wrong checksum"
    assert not Task.select().where(Task.workflow_id == flow).exists()
    assert queries.workflow(again).step.name == "netbooted"


def test_a_failed_install_ends_the_run_with_its_reason_and_leaves_the_power_unknown(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.report(
        Seen.INSTALL_FAILED,
        scene.machine,
        run=scene.view.run_id,
        data={"reason": "no disk matches"},
    )

    assert (scene.view.state, scene.view.power) == (State.FAILED, "unknown")
    assert queries.workflow(flow).detail == "netbooted: no disk matches"


def test_a_task_that_failed_for_now_is_granted_again_and_not_for_ever(scene):
    flow = asks.power(make.ADA, scene.machine, asks.Kind.POWER_ON)
    walks.advance(flow, make.render)
    for _ in range(3):
        make.due_now(flow)
        scene.agent.fail(flow, retryable=True)

    assert Task.select().where(Task.workflow_id == flow).count() == 3
    assert queries.workflow(flow).progress is Progress.FAILED
    assert scene.view.state is State.REGISTERED


def test_a_task_that_the_bmc_refuses_is_not_tried_again(scene):
    flow = asks.power(make.ADA, scene.machine, asks.Kind.POWER_ON)
    walks.advance(flow, make.render)
    scene.agent.fail(flow, retryable=False)

    assert Task.select().where(Task.workflow_id == flow).count() == 1
    assert "no answer" in queries.workflow(flow).detail


def test_the_outcome_of_a_task_that_was_granted_anew_moves_nothing(scene):
    flow = asks.power(make.ADA, scene.machine, asks.Kind.POWER_ON)
    walks.advance(flow, make.render)
    first = Workflow.get_by_id(flow).task_id
    make.overdue(flow)

    scene.agent.report(
        Seen.TASK_DONE, scene.machine, data={"task": str(first), "result": {"power": "on"}}
    )

    assert queries.workflow(flow).progress is Progress.RUNNING


def test_a_wait_that_passes_its_deadline_ends_in_an_explained_failure(scene):
    flow = scene.provision()
    scene.powered(flow)

    make.overdue(flow)

    told = why(
        scene.view, queries.agents(scene.site), queries.timeline(scene.machine), datetime.now(UTC)
    )
    assert scene.view.state is State.FAILED
    assert "boot from the network" in told.sentence


@pytest.mark.parametrize(
    ("labels", "advice"),
    [({}, "sprout ssh node-01"), ({"simulated": "true"}, "sprout machines timeline node-01")],
)
def test_who_wonders_about_an_active_machine_is_told_what_can_be_done_with_it(
    scene, labels, advice
):
    view = dataclasses.replace(scene.view, state=State.ACTIVE, labels=labels)

    assert why(view, (), (), datetime.now(UTC)).next_action == advice


def test_a_deadline_that_was_met_in_the_meantime_expires_nothing(scene):
    flow = scene.provision()

    walks.expire(flow, make.render)

    assert queries.workflow(flow).progress is Progress.RUNNING


def test_without_an_agent_a_task_waits_and_goes_to_the_next_that_lives(scene):
    flow = scene.provision()
    Agent.update(last_seen_at=datetime.now(UTC) - timedelta(minutes=5)).execute()
    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)
    assert Workflow.get_by_id(flow).task_id is None

    other = make.Agent(scene.site)
    make.due_now(flow)

    task = Task.get_by_id(Workflow.get_by_id(flow).task_id)
    assert task.agent_id == other.id


def test_a_machine_keeps_its_address_and_two_never_share_one(scene):
    flow = scene.provision()
    first = scene.view.address
    asks.cancel(make.ADA, flow)
    scene.provision()
    other = make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])
    walks.advance(
        asks.provision(make.ADA, other, image_ref=scene.image, profile_ref=scene.profile),
        make.render,
    )

    assert scene.view.address == first
    assert queries.machine(other).address != first
    assert Allocation.select().where(Allocation.state != "released").count() == 2


def test_an_agent_speaks_for_machines_of_its_own_site_alone(scene):
    flow = scene.provision()
    stranger = make.Agent(make.site("fra-1"))

    stranger.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)

    assert queries.workflow(flow).step.name == "plan-served"


@pytest.mark.parametrize("body", [{}, {"reports": 7}, {"incarnation": "x", "reports": None}])
def test_reports_that_are_none_are_refused(scene, body):
    with pytest.raises(Invalid):
        reports.receive(scene.agent.envelope(MessageKind.OBSERVATIONS, body), make.render)


def test_a_row_that_cannot_be_read_takes_no_other_with_it_and_is_kept_as_that(scene):
    flow = scene.provision()
    scene.powered(flow)
    run, machine = str(scene.view.run_id), str(scene.machine)
    usual = {"source": "http", "at": 1.0, "run": run, "machine": machine}
    rows = [
        {"seq": 900, "kind": "script-served", **usual},
        {"seq": 901, "kind": "of-next-year", **usual, "data": {"speed": 7}},
        {"seq": 902, "kind": "phoned-home", **usual, "at": "noon", "mac": 7},
        {"seq": 903, "kind": "install-started", **usual},
        {"seq": 904, "kind": "installed", **usual},
    ]
    body = {"incarnation": scene.agent.incarnation, "reports": rows}

    reports.receive(scene.agent.envelope(MessageKind.OBSERVATIONS, body), make.render)

    assert queries.workflow(flow).step.name == "phoned-home"
    kept = [row for row in queries.timeline(scene.machine) if row.kind == "unreadable"]
    assert [row.data["was"] for row in kept] == ["of-next-year", "phoned-home"]
    assert kept[0].data["said"] == {"speed": 7}


def test_rows_without_a_number_are_refused_after_the_others_are_kept(scene):
    flow = scene.provision()
    scene.powered(flow)
    usual = {"source": "http", "at": 1.0, "run": str(scene.view.run_id)}
    rows = [7, {"kind": "installed", **usual}, {"seq": 900, "kind": "script-served", **usual}]
    body = {"incarnation": scene.agent.incarnation, "reports": rows}

    with pytest.raises(Invalid, match="2 of the reports have no number"):
        reports.receive(scene.agent.envelope(MessageKind.OBSERVATIONS, body), make.render)

    assert queries.workflow(flow).step.name == "installing"


def test_in_haste_only_what_is_urgent_is_taken(scene):
    message = scene.agent.report(Seen.SCRIPT_SERVED, scene.machine)

    with pytest.raises(Invalid, match="not urgent"):
        reports.receive(message, make.render, only=URGENT)


def test_a_row_that_the_database_refuses_takes_neither_the_others_nor_its_meaning_with_it(scene):
    flow = scene.provision()
    scene.powered(flow)
    bodies = [
        {"seq": 100 + n, "kind": kind, "source": "http", "at": 1.0, "run": str(scene.view.run_id)}
        for n, kind in enumerate(["script-served", "install-started", "installed"])
    ]
    bodies[1]["data"] = {"disk": "nul \x00 byte"}

    reports.receive(
        scene.agent.envelope(
            MessageKind.OBSERVATIONS, {"incarnation": scene.agent.incarnation, "reports": bodies}
        ),
        make.render,
    )

    assert queries.workflow(flow).step.name == "phoned-home"
    assert {"unreadable": True} in [row.data for row in queries.timeline(scene.machine)]


def test_registering_sends_the_whole_of_the_sites_plans(scene):
    scene.provision()
    Outbox.delete().execute()

    make.Agent(scene.site)

    assert b'"snapshot":true' in b"".join(bytes(row.body) for row in Outbox.select())


def test_what_is_promised_is_sent_once_and_kept_when_sending_fails(scene):
    Outbox.delete().execute()
    scene.provision()
    sent = []

    def broken(batch):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        outbox.drain(broken)
    count = outbox.drain(sent.extend)

    assert count == len(sent) > 0
    assert outbox.drain(sent.extend) == 0


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_the_audit(scene, statement):
    with pytest.raises((InternalError, DatabaseError)):
        pool.database.execute_sql(statement)


def test_runs_of_a_machine_are_numbered(scene):
    asks.cancel(make.ADA, scene.provision())
    scene.provision()

    assert [run.epoch for run in Run.select().order_by(Run.epoch)] == [1, 2]
    assert Machine.get_by_id(scene.machine).epoch == 2


def test_the_number_of_statements_of_a_list_does_not_grow_with_the_fleet(scene, monkeypatch):
    counted = []
    execute = pool.database.execute_sql
    monkeypatch.setattr(
        pool.database, "execute_sql", lambda *a, **k: (counted.append(a), execute(*a, **k))[1]
    )
    lists.machines()
    one = len(counted)
    for n in range(2, 12):
        make.machine(scene.site, f"n-{n}", [make.interface(f"52:54:00:00:00:{n:02x}")])
    counted.clear()
    lists.machines()

    assert len(counted) == one


def test_plans_are_signed_with_the_sites_key(scene):
    assert len(agents.signing_key(scene.site)) == 32
