"""Leases, epochs, retries, clean-up: one task at a machine at a time, whatever dies."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from peewee import OperationalError

from models import database as pool
from models import queries
from models.commands import asks, reports, tasks, walks
from models.commands.inventories import How
from models.errors import NotReady
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.messages import Kind as MessageKind
from models.observations import Observation, Seen, Source
from models.tables import Machine, Task, Workflow
from tests.models import make

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    return make.Scene()


def asked(scene, kind=Kind.POWER_ON):
    flow = asks.power(make.ADA, scene.machine, kind)
    walks.advance(flow, make.render)
    return flow


def task_of(flow):
    return Task.get_or_none(Task.id == Workflow.get_by_id(flow).task_id)


def lapse(task, render=make.render):
    past = datetime.now(UTC) - timedelta(seconds=1)
    Task.update(lease_expires_at=past).where(Task.id == task.id).execute()
    assert task.id in tasks.lapsed()
    walks.lose(task.id, render)


def test_every_grant_at_a_machine_has_a_higher_epoch_than_all_before(scene):
    first = asked(scene)
    scene.agent.finish(first)
    second = asked(scene, Kind.POWER_OFF)

    epochs = [task.epoch for task in Task.select().order_by(Task.created_at)]

    assert epochs == [1, 2]
    assert task_of(second).epoch == Machine.get_by_id(scene.machine).fence


def test_renewals_and_reports_of_many_tasks_at_once_do_not_deadlock(scene):
    numbers = range(16, 40)
    machines = [
        make.machine(scene.site, f"node-{n}", [make.interface(f"52:54:00:00:01:{n:02x}")])
        for n in numbers
    ]
    for machine in machines:
        walks.advance(asks.power(make.ADA, machine, Kind.POWER_ON), make.render)
    granted = sorted(Task.select(), key=lambda task: task.id, reverse=True)
    renewed = scene.agent.envelope(
        MessageKind.RENEW, {"n": 1, "tasks": [{"task": str(task.id)} for task in granted]}
    )
    told, ended = [], Event()

    def renewing():
        with pool.borrowed():
            while not ended.is_set():
                try:
                    with pool.database.atomic():
                        tasks.renew(renewed)
                except OperationalError as exc:
                    told.append(str(exc))

    with ThreadPoolExecutor(2) as agents:
        for _ in range(2):
            agents.submit(renewing)
        try:
            for number in range(10):
                for task in granted:
                    Task.update(state="granted").where(Task.id == task.id).execute()
                reports.receive(started(scene.agent, granted, number), make.render)
        finally:
            ended.set()

    assert told == []


def started(agent, granted, number):
    """Return one message that says of every task that it was started."""
    rows = [
        {
            "seq": number * 1000 + place,
            **Observation(
                kind=Seen.TASK_STARTED,
                source=Source.AGENT,
                at=1.0,
                machine=task.machine_id,
                data={"task": str(task.id)},
            ).encode(),
        }
        for place, task in enumerate(granted, 1)
    ]
    body = {"incarnation": agent.incarnation, "reports": rows}
    return agent.envelope(MessageKind.OBSERVATIONS, body)


def test_a_renewal_extends_what_the_agent_holds_and_lists_it(scene):
    task = task_of(asked(scene))
    soon = datetime.now(UTC) + timedelta(seconds=4)
    Task.update(lease_expires_at=soon).execute()

    listed = scene.agent.renew(task.id)

    assert listed == {str(task.id)}
    assert Task.get_by_id(task.id).lease_expires_at > soon + timedelta(seconds=30)


def test_an_agent_cannot_renew_what_another_holds(scene):
    task = task_of(asked(scene))
    other = make.Agent(scene.site)

    assert other.renew(task.id) == set()


def test_a_task_whose_lease_is_over_goes_to_another_agent_in_the_same_try(scene):
    flow = asked(scene)
    first = task_of(flow)
    other = make.Agent(scene.site)
    scene.agent.silent(60)

    lapse(first)

    second = task_of(flow)
    assert (second.agent_id, second.attempt) == (other.id, first.attempt)
    assert second.epoch > first.epoch
    assert scene.agent.renew(first.id) == set()


def test_what_the_former_holder_still_reports_moves_nothing(scene):
    flow = asked(scene)
    first = task_of(flow)
    make.Agent(scene.site)
    scene.agent.silent(60)
    lapse(first)

    scene.agent.report(Seen.TASK_DONE, scene.machine, data={"task": str(first.id), "result": {}})

    assert queries.workflow(flow).progress is Progress.RUNNING
    assert not queries.timeline(scene.machine)[-1].applied


def test_a_task_is_left_with_a_silent_agent_while_nobody_else_could_do_it(scene):
    flow = asked(scene)
    scene.agent.silent(60)
    task = task_of(flow)

    lapse(task)
    scene.agent.report(Seen.TASK_DONE, scene.machine, data={"task": str(task.id), "result": {}})

    assert queries.workflow(flow).progress is Progress.SUCCEEDED


def test_a_machine_has_one_task_at_a_time_even_after_the_wait_for_it_was_given_up(scene):
    flow = asked(scene)
    first = task_of(flow)
    asks.cancel(make.ADA, flow)
    second = asked(scene, Kind.POWER_OFF)
    assert task_of(second) is None

    scene.agent.report(
        Seen.TASK_FAILED, scene.machine, data={"task": str(first.id), "cancelled": True}
    )
    walks.expire(second, make.render)

    assert task_of(second).epoch > first.epoch


def test_the_next_task_is_granted_when_the_lease_of_an_abandoned_one_is_surely_over(scene):
    flow = asked(scene)
    asks.cancel(make.ADA, flow)
    second = asked(scene, Kind.POWER_OFF)
    waits_until = Workflow.get_by_id(second).wake_at
    Task.update(lease_expires_at=datetime.now(UTC) - timedelta(seconds=1)).execute()

    make.due_now(second)

    assert 30 < (waits_until - datetime.now(UTC)).total_seconds() < 36
    assert task_of(second) is not None


def test_cancelling_tells_the_agent_which_task_of_which_epoch_is_over(scene):
    flow = asked(scene)
    task = task_of(flow)

    asks.cancel(make.ADA, flow)

    assert scene.agent.heard(MessageKind.CANCEL) == [{"task": str(task.id), "epoch": task.epoch}]


def test_an_unknown_outcome_is_granted_anew_within_the_same_try(scene):
    flow = asked(scene)
    task = task_of(flow)

    scene.agent.report(
        Seen.TASK_FAILED,
        scene.machine,
        data={"task": str(task.id), "unknown": True, "retryable": True, "reason": "restarted"},
    )
    make.due_now(flow) if task_of(flow) is None else None

    again = task_of(flow)
    assert (again.attempt, again.epoch) == (task.attempt, task.epoch + 1)


def test_between_two_tries_there_is_a_rest_that_grows(scene):
    flow = asked(scene)
    rests = []
    for _ in range(2):
        scene.agent.fail(flow, retryable=True)
        row = Workflow.get_by_id(flow)
        rests.append((row.wake_at - datetime.now(UTC)).total_seconds())
        assert row.task_id is None
        make.due_now(flow)

    assert rests == pytest.approx([2, 4], abs=0.5)


def test_a_failed_installation_is_followed_by_switching_the_machine_off(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.agent.report(
        Seen.INSTALL_FAILED, scene.machine, run=scene.view.run_id, data={"reason": "no disk"}
    )
    [after] = Workflow.select().where(Workflow.parent_id == flow)

    walks.advance(after.id, make.render)
    switched = task_of(after.id)
    scene.agent.finish(after.id, {"power": "off"})
    scene.agent.finish(after.id)

    assert (switched.kind, switched.params["force"]) == ("power-off", True)
    assert queries.workflow(after.id).progress is Progress.SUCCEEDED
    assert (scene.view.state, scene.view.power) == (State.FAILED, "off")
    assert scene.view.workflow.id == flow


def test_a_failure_before_anything_was_done_to_the_machine_is_followed_by_nothing(scene):
    flow = scene.provision()

    asks.cancel(make.ADA, flow)

    assert not Workflow.select().where(Workflow.parent_id == flow).exists()


def test_a_machine_whose_disk_is_written_is_left_running_when_it_does_not_phone_home(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED)

    make.overdue(flow)

    assert scene.view.state is State.FAILED
    assert not Workflow.select().where(Workflow.parent_id == flow).exists()


def test_provisioning_supersedes_what_else_is_done_to_the_machine(scene):
    power = asked(scene, Kind.POWER_OFF)

    scene.provision()

    assert queries.workflow(power).progress is Progress.CANCELLED
    assert scene.agent.heard(MessageKind.CANCEL)


def test_the_reaper_wakes_as_the_next_lease_ends_and_not_for_those_already_over(scene):
    idle = tasks.lapses_in_s(1.0)
    task = task_of(asked(scene))
    far = tasks.lapses_in_s(1.0)
    soon = datetime.now(UTC) + timedelta(seconds=400)
    Task.update(lease_expires_at=soon).where(Task.id == task.id).execute()
    near = tasks.lapses_in_s(3600.0)
    over = datetime.now(UTC) - timedelta(seconds=5)
    Task.update(lease_expires_at=over).where(Task.id == task.id).execute()

    assert (idle, far) == (1.0, 1.0)
    assert 0.0 <= near <= 400.0
    assert tasks.lapses_in_s(1.0) == 1.0


def test_what_waits_for_the_machines_task_is_looked_at_as_soon_as_that_has_ended(scene):
    first, second = asked(scene, Kind.POWER_OFF), asked(scene, Kind.POWER_ON)
    waited = walks.due()

    scene.agent.finish(first, {"power": "off"})

    assert second not in waited
    assert second in walks.due()


def _left_writing(scene):
    """Cancel an installation that has begun; return the workflow that switches the machine off."""
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED)
    asks.cancel(make.ADMIN, flow)
    [after] = Workflow.select().where(Workflow.parent_id == flow)
    return after.id


def test_a_machine_that_is_still_writing_its_disk_is_not_left_on_by_a_verb_that_would(scene):
    after = _left_writing(scene)

    for verb in (
        lambda: asks.commission(make.ADMIN, scene.machine, inventory=How.BMC),
        lambda: asks.moved(make.ADMIN, scene.machine, Kind.RETIRE),
    ):
        with pytest.raises(NotReady, match="being switched off"):
            verb()
    assert queries.workflow(after).progress is Progress.RUNNING


def test_what_supersedes_that_switches_the_machine_off_also_when_it_ends_before_its_turn(scene):
    after = _left_writing(scene)
    again = scene.provision()
    asks.cancel(make.ADMIN, again)

    assert queries.workflow(after).progress is Progress.CANCELLED
    [owed] = Workflow.select().where(Workflow.parent_id == again)
    assert owed.kind == Kind.CLEAN_UP.value
