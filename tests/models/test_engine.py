import pytest

from models.engine import (
    Begin,
    Cursor,
    Finish,
    GiveUp,
    Outcome,
    Pass,
    Rest,
    Wait,
    after_deadline,
    cleans_up,
    next_move,
)
from models.errands import Errand
from models.kinds import Kind
from models.observations import Seen
from models.steps import Party, Step, StepKind, Task, Trait, errand, where
from models.workflows import LIFECYCLE, TABLES, of_params, switches_off, table_of

PROVISION = table_of(Kind.PROVISION)
STEPS = [(kind, step) for kind, table in TABLES.items() for step in table.steps]


def at(name):
    return next(n for n, step in enumerate(PROVISION.steps) if step.name == name)


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda v: getattr(v, "name", v))
def test_every_step_says_what_is_expected_from_whom_and_until_when(kind, step):
    assert step.expects
    assert step.party
    assert 0 < step.deadline_s <= 24 * 3600
    assert (step.task is not None) == (step.kind is StepKind.ASSIGNMENT)
    assert (step.until is not None) == (step.kind is StepKind.EXPECTATION)
    assert (step.decision is not None) == (step.kind is StepKind.DECISION)
    assert (step.errand is not None) == (step.kind is StepKind.ERRAND)


def test_no_table_powers_a_machine_on_for_a_boot_before_its_plan_is_served():
    names = [step.name for step in PROVISION.steps]
    powers = [n for n, s in enumerate(PROVISION.steps) if s.task in {Task.POWER_ON, Task.REBOOT}]

    assert names.index("plan-served") < min(powers)


def test_only_what_leads_through_the_lifecycle_begins_and_ends_it():
    assert set(Kind) - LIFECYCLE == {
        *(Kind.POWER_ON, Kind.POWER_OFF, Kind.REBOOT, Kind.BOOT_SOURCE),
        *(Kind.IMAGE, Kind.REMOTE_TASK, Kind.CLEAN_UP),
    }
    assert all(t.begins is not None or t.ends is None for t in TABLES.values())


def test_a_step_that_was_not_begun_begins_with_its_first_try():
    assert next_move(PROVISION, Cursor(0), ()) == Begin(PROVISION.steps[0], 1)


def test_a_sighting_that_came_before_its_step_lets_the_step_pass_at_once():
    netbooted = at("netbooted")

    assert next_move(PROVISION, Cursor(netbooted), {Seen.SCRIPT_SERVED}) == Pass(
        PROVISION.steps[netbooted]
    )


def test_an_errand_without_an_outcome_is_run_again_until_its_tries_are_used_up():
    step = errand("asked", Errand.DNS_RECORD, "an answer")

    assert after_deadline(step, Cursor(0, 1)) == Begin(step, 2)
    assert after_deadline(step, Cursor(0, step.tries)) == GiveUp(step)


def test_an_expectation_waits_for_its_sighting_alone():
    cursor = Cursor(at("installed"), 1)

    assert isinstance(next_move(PROVISION, cursor, {Seen.SCRIPT_SERVED}), Wait)
    assert isinstance(next_move(PROVISION, cursor, {Seen.INSTALLED}), Pass)


def test_a_sighting_of_failure_gives_up_also_when_success_was_seen():
    cursor = Cursor(at("installed"), 1)

    move = next_move(PROVISION, cursor, {Seen.INSTALL_FAILED, Seen.INSTALLED})

    assert move == GiveUp(PROVISION.steps[at("installed")], Seen.INSTALL_FAILED)


@pytest.mark.parametrize(
    ("outcome", "attempt", "move"),
    [
        (Outcome.OPEN, 1, Wait),
        (Outcome.DONE, 1, Pass),
        (Outcome.FAILED, 1, Rest),
        (Outcome.FAILED, 3, GiveUp),
        (Outcome.REFUSED, 1, GiveUp),
    ],
)
def test_a_task_is_tried_again_only_where_that_may_help_and_only_so_often(outcome, attempt, move):
    cursor = Cursor(at("powered-on"), attempt, outcome)

    assert isinstance(next_move(PROVISION, cursor, ()), move)


def test_a_task_without_an_answer_is_granted_again_until_its_tries_are_used_up():
    step = PROVISION.steps[at("powered-on")]

    assert after_deadline(step, Cursor(at("powered-on"), 1)) == Begin(step, 2)
    assert after_deadline(step, Cursor(at("powered-on"), step.tries)) == GiveUp(step)


def test_a_sighting_that_never_comes_gives_up_at_its_deadline():
    step = PROVISION.steps[at("netbooted")]

    assert after_deadline(step, Cursor(at("netbooted"), 1)) == GiveUp(step)


def test_the_end_of_the_table_is_the_end():
    assert next_move(PROVISION, Cursor(len(PROVISION.steps)), ()) == Finish()


def test_a_step_is_walked_only_by_the_workflows_that_have_its_traits():
    """Traits are kept with the workflow, so that what changes later moves no step of it."""
    kept = Step(
        name="always", kind=StepKind.DECISION, expects="", party=Party.CONTROL, deadline_s=1
    )
    by_hand = frozenset({Trait.BY_HAND})

    (with_it,) = where(kept, only=by_hand)
    (without,) = where(kept, unless=by_hand)

    assert [s.only for s in (with_it, without)] == [by_hand, frozenset()]
    whole = TABLES[Kind.PROVISION].steps
    assert PROVISION.steps == tuple(each for each in whole if not each.only)
    walked = table_of(Kind.PROVISION, by_hand).steps
    assert walked == tuple(s for s in whole if s.only <= by_hand and not s.unless & by_hand)
    assert of_params(Kind.PROVISION, {"traits": ["a-trait-of-tomorrow"]}) == PROVISION


def test_what_takes_the_place_of_a_clean_up_owes_it_until_a_system_is_on_the_disk():
    """A machine that an earlier run left writing is off only when somebody switched it off."""
    before, after = Cursor(at("plan-served"), 1), Cursor(at("phoned-home"), 1)

    assert [cleans_up(PROVISION, before, owed=owed) for owed in (False, True)] == [False, True]
    assert not cleans_up(PROVISION, after, owed=True)


@pytest.mark.parametrize(
    ("kind", "traits", "off"),
    [
        (Kind.PROVISION, (), True),
        (Kind.RELEASE, (), True),
        (Kind.COMMISSION, (Trait.INVENTORY_IMAGE,), True),
        (Kind.COMMISSION, (), False),
        (Kind.RETIRE, (), False),
        (Kind.RELEASE, (Trait.BY_HAND,), False),
    ],
)
def test_which_workflows_switch_a_machine_off_whatever_it_does(kind, traits, off):
    assert switches_off(table_of(kind, traits)) is off
