"""Errands: taken by one, done under one key, recorded once; their doers die at any statement."""

from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import uuid4

import pytest
from peewee import IntegrityError

from models import database as pool
from models import queries
from models.commands import asks, errands, machines, outcomes, providing, walks
from models.errands import LONGEST_REST_S, Ended, rest_s
from models.errands import Errand as Name
from models.errors import Exhausted
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.tables import Allocation, Errand, Machine, Observation, Outbox, Workflow
from tests.faults.world import dying
from tests.models import make

pytestmark = pytest.mark.services

EVERY = tuple(Name)
DONE = Ended(done=True, result={"n": 1})
PASSING = Ended(done=False, reason="answers 503", retryable=True)
FINAL = Ended(done=False, reason="answers 422")


@pytest.fixture
def ends(monkeypatch):
    """What is told of the ends of errands that are no workflow's."""
    told = []
    table = {Name.INTEGRATION_RUN: lambda subject, ended: told.append((subject, ended))}
    monkeypatch.setattr(outcomes, "ENDS", table)
    return told


def asked(key="k", deadline_s=60, tries=1, **params):
    return errands.ask(
        Name.INTEGRATION_RUN, uuid4(), key, params=params, deadline_s=deadline_s, tries=tries
    )


def past(errand, *columns):
    then = datetime.now(UTC) - timedelta(seconds=1)
    Errand.update(dict.fromkeys(columns, then)).where(Errand.id == errand).execute()


def settle(held, ended=DONE):
    return outcomes.settle(held, ended, make.render)


def row(errand):
    return Errand.get_by_id(errand)


def test_what_is_asked_for_is_taken_by_one_and_ends_once(db, ends):
    errand = asked(url="u")

    held = errands.take(EVERY)

    assert (held.id, held.key, held.params, held.fence) == (errand, "k", {"url": "u"}, 1)
    assert errands.take(EVERY) is None
    assert settle(held)
    assert not settle(held, FINAL)
    assert [(row(errand).state, ended) for _, ended in ends] == [("done", DONE)]


def test_it_is_promised_to_the_queue_in_the_same_transaction(db):
    with pool.database.atomic() as transaction:
        asked()
        transaction.rollback()

    assert (Errand.select().count(), Outbox.select().count()) == (0, 0)


def test_one_that_lost_its_lease_records_nothing_and_the_other_has_the_same_key(db, ends):
    errand = asked()
    first = errands.take(EVERY)
    past(errand, "wake_at")
    second = errands.take(EVERY)

    assert (second.key, second.fence) == (first.key, first.fence + 1)
    assert not errands.renew(first)
    assert not settle(first, FINAL)
    assert errands.renew(second)
    assert settle(second)
    assert [ended for _, ended in ends] == [DONE]


def test_what_may_pass_is_tried_again_after_a_pause_and_so_often(db, ends):
    errand = asked(tries=2)

    assert settle(errands.take(EVERY), PASSING)
    assert errands.take(EVERY) is None
    past(errand, "wake_at")
    assert settle(errands.take(EVERY), PASSING)

    assert (row(errand).state, row(errand).detail) == ("failed", "answers 503")
    assert [ended for _, ended in ends] == [PASSING]


def test_what_will_not_pass_is_not_tried_again(db, ends):
    asked(tries=5)

    settle(errands.take(EVERY), FINAL)

    assert [ended for _, ended in ends] == [FINAL]


def test_time_ends_it_whoever_holds_it(db, ends):
    errand = asked()
    held = errands.take(EVERY)
    past(errand, "deadline_at")

    for each in outcomes.overdue():
        outcomes.expire(each, make.render)

    assert not settle(held)
    assert [ended for _, ended in ends] == [outcomes.OUT_OF_TIME]


def test_what_this_version_cannot_do_is_left_to_one_that_can(db):
    asked()

    assert errands.take([Name.DNS_RECORD]) is None
    assert errands.take([]) is None


def test_a_key_is_open_once(db):
    asked()

    with pytest.raises(IntegrityError), pool.database.atomic():
        asked()


def test_a_hundred_errands_taken_by_eight_at_once_are_each_taken_once(db):
    for number in range(100):
        asked(key=f"k{number}")
    taken = []

    def take_all():
        with pool.borrowed():
            while held := errands.take(EVERY):
                taken.append(held.id)

    takers = [Thread(target=take_all) for _ in range(7)]
    for each in takers:
        each.start()
    for each in takers:
        each.join()

    assert len(taken) == len(set(taken)) == 100


def test_what_only_a_newer_version_knows_is_left_to_it_when_its_time_is_over(db, ends):
    errand = asked()
    past(errand, "deadline_at")
    Errand.update(name="of-tomorrow").where(Errand.id == errand).execute()

    assert outcomes.overdue() == []


@pytest.mark.parametrize("after", range(8))
def test_whoever_dies_between_two_statements_leaves_it_to_be_done_again(db, ends, after):
    errand = asked(tries=3)

    with dying(after):
        settle(errands.take(EVERY))
    if row(errand).finished_at is None:
        past(errand, "wake_at")
        settle(errands.take(EVERY))

    assert row(errand).state == "done"
    assert ends[-1][1] == DONE


def test_pauses_double_and_are_bounded():
    assert [rest_s(2, n) for n in (1, 2, 3)] == [2, 4, 8]
    assert rest_s(2, 10**6) == LONGEST_REST_S


# --- as a step of a workflow ---


@pytest.fixture
def scene(db):
    made = make.Scene()
    providing.choose({"dns"}, "prov.example")
    yield made
    providing.choose((), "provisioning.sprout.local")


def held_by(scene):
    flow = scene.provision()
    return flow, errands.take(EVERY)


def test_a_step_asks_for_its_errand_and_goes_on_when_it_is_done(scene):
    flow, held = held_by(scene)

    told = {name: held.params[name] for name in ("fqdn", "address")}
    assert told == {"fqdn": "node-01.prov.example", "address": "10.77.0.10"}
    assert queries.workflow(flow).step.name == "name-recorded"
    settle(held)
    assert queries.workflow(flow).step.name == "plan-served"


def test_a_try_that_failed_is_made_again_with_the_same_key(scene):
    flow, first = held_by(scene)

    settle(first, PASSING)
    assert "answers 503" in queries.workflow(flow).detail
    make.due_now(flow)
    second = errands.take(EVERY)

    assert (second.key, second.id != first.id) == (first.key, True)
    settle(second)
    assert queries.workflow(flow).step.name == "plan-served"


def test_a_refusal_fails_the_machine_with_its_words(scene):
    flow, held = held_by(scene)

    settle(held, FINAL)

    assert scene.view.state is State.FAILED
    assert queries.workflow(flow).detail == "name-recorded: answers 422"


def test_an_errand_without_an_outcome_is_given_up_and_asked_for_anew(scene):
    flow, first = held_by(scene)

    make.overdue(flow)
    second = errands.take(EVERY)

    assert not settle(first, FINAL)
    assert second.key == first.key
    assert settle(second)
    assert queries.workflow(flow).step.name == "plan-served"


def test_an_outside_system_that_never_answers_is_given_up_after_so_many_tries(scene):
    flow, _ = held_by(scene)

    for _ in range(4):
        make.overdue(flow)

    assert queries.workflow(flow).progress is Progress.FAILED
    left = Errand.select().where(Errand.finished_at.is_null())
    assert [each.name for each in left] == ["dns-remove"]  # it may be there all the same


def test_cancelling_drops_whatever_the_errand_still_brings(scene):
    flow, held = held_by(scene)

    asks.cancel(make.ADA, flow)

    assert not settle(held)
    assert row(held.id).state == "abandoned"


def test_what_cannot_even_be_asked_for_is_refused_and_touches_nothing_outside(scene, monkeypatch):
    def none_left(_machine, _flow, _key):
        raise Exhausted("no address is free")

    part = providing.Part(none_left, providing.PARTS[Name.DNS_RECORD].record)
    monkeypatch.setattr(providing, "PARTS", {Name.DNS_RECORD: part})

    flow, held = held_by(scene)

    assert held is None
    assert queries.workflow(flow).detail == "name-recorded: no address is free"


def test_an_answer_that_the_domain_refuses_fails_the_step(scene, monkeypatch):
    def not_ours(_machine, _flow, _result):
        raise Exhausted("that is somebody else's")

    part = providing.Part(providing.PARTS[Name.DNS_RECORD].asked, not_ours)
    monkeypatch.setattr(providing, "PARTS", {Name.DNS_RECORD: part})
    flow, held = held_by(scene)

    settle(held)

    assert queries.workflow(flow).detail == "name-recorded: that is somebody else's"
    assert row(held.id).state == "done"


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_step_is_passed_once_wherever_its_doer_dies(scene, after):
    flow, held = held_by(scene)

    with dying(after):
        settle(held)
    if queries.workflow(flow).step.name == "name-recorded":
        past(held.id, "wake_at")
        settle(errands.take(EVERY))

    begun = Observation.select().where(
        (Observation.workflow_id == flow) & (Observation.kind == "step-done")
    )
    assert [each.data["step"] for each in begun] == ["name-recorded", "run-prepared"]
    assert queries.workflow(flow).step.name == "plan-served"
    assert walks.due() == []


def test_a_machine_is_forgotten_with_its_errands(scene):
    flow, held = held_by(scene)
    settle(held)
    Allocation.update(state="released", released_at=Allocation.created_at).execute()
    Workflow.update(state="failed").where(Workflow.id == flow).execute()
    Machine.update({"state": "retired"}).where(Machine.id == scene.machine).execute()

    machines.delete_machine(make.ADMIN, scene.machine)

    assert [each.name for each in Errand.select()] == []


def test_what_is_just_being_undone_is_not_asked_for_meanwhile(scene):
    _, held = held_by(scene)
    settle(held, FINAL)
    undoing = errands.take(EVERY)
    walked = scene.provision()

    assert undoing.name is Name.DNS_REMOVE
    assert "is being undone. Ask again in a minute." in queries.workflow(walked).detail


def test_a_workflow_keeps_the_providers_it_began_with(scene):
    flow = Workflow.get_by_id(scene.provision())

    assert (flow.kind, flow.params["traits"]) == (Kind.PROVISION.value, ["external-dns"])
