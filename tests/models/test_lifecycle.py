from itertools import product

import pytest

from models.errors import IllegalTransition
from models.lifecycle import TRANSITIONS, WORKING, Event, Recall, State, next_state

LEGAL = sorted((move, to) for move, to in TRANSITIONS.items() if isinstance(to, State))
ILLEGAL = sorted(set(product(State, Event)) - TRANSITIONS.keys())


@pytest.mark.parametrize(("move", "after"), LEGAL)
def test_every_move_in_the_table_is_made(move, after):
    assert next_state(*move) is after


@pytest.mark.parametrize("move", ILLEGAL, ids="+".join)
def test_every_other_move_is_refused_with_what_can_be_done(move):
    with pytest.raises(IllegalTransition) as caught:
        next_state(*move)

    assert caught.value.hint


def test_every_working_state_can_give_up_and_no_other():
    assert {s for s, e in TRANSITIONS if e is Event.GAVE_UP} == WORKING


def test_every_state_is_entered_and_all_but_retired_are_left():
    entered = {State.REGISTERED, *(to for to in TRANSITIONS.values() if isinstance(to, State))}
    left = {state for state, _ in TRANSITIONS}

    assert entered == set(State)
    assert left == set(State) - {State.RETIRED}


@pytest.mark.parametrize("before", [State.AVAILABLE, State.ACTIVE])
def test_a_machine_resumes_where_it_came_from(before):
    assert next_state(State.MAINTENANCE, Event.RESUME, came_from=before) is before


@pytest.mark.parametrize(
    ("commissioned", "after"), [(True, State.AVAILABLE), (False, State.REGISTERED)]
)
def test_a_cleared_failure_goes_where_commissioning_had_led(commissioned, after):
    assert next_state(State.FAILED, Event.CLEAR, commissioned=commissioned) is after


def test_each_recall_is_used():
    assert set(Recall) == {to for to in TRANSITIONS.values() if isinstance(to, Recall)}
