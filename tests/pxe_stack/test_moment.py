"""When a plan that destroys may still be served."""

from dataclasses import replace

import pytest

from pxe_stack import moment
from pxe_stack.directory import Held, is_fresh
from pxe_stack.moment import Moment
from tests.pxe_stack import make

THEN = Moment(1_000_000.0, "first", 50.0)


def later(seconds, **changes):
    moved = replace(THEN, wall=THEN.wall + seconds, running=THEN.running + seconds)
    return replace(moved, **changes)


@pytest.mark.parametrize(
    ("now", "fresh"),
    [
        (later(0), True),
        (later(60), True),
        (later(61), False),
        (later(30, boot="second"), False),
        (later(30, wall=THEN.wall - 3600), False),
        (later(61, wall=THEN.wall + 1), False),
        (later(30, wall=THEN.wall + 10**6), True),
    ],
    ids=["at once", "at its end", "too late", "rebooted", "set back", "slowed", "set ahead"],
)
def test_a_plan_is_fresh_by_the_clock_that_nobody_can_set(now, fresh):
    assert is_fresh(Held(make.plan(valid_for=60), THEN), now) is fresh


def test_time_goes_on_within_one_run_of_the_kernel():
    before = moment.now()

    assert before.seconds_until(moment.now()) >= 0
    assert before.seconds_until(replace(before, boot="another")) is None
