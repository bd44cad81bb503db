"""Control's time at a site whose own clock is wrong, or set; the test turns all clocks."""

import pytest

from actors.broker_contract import Unworkable
from actors.site.control_clock import Age, ControlClock
from actors.site.store import AgentStore
from pxe_stack.moment import Moment

HOUR = 3600.0


class Lab:
    """*there* is control's time; this computer's clock is *wrong* by so many seconds."""

    def __init__(self, path, wrong):
        self.path, self.there, self.wrong = path, 1_000_000.0, wrong
        self.boot, self.booted_at = "first", self.there - 500
        self.start()

    def start(self):
        self.store = AgentStore(self.path)
        self.clock = ControlClock(self.store, self.moment)

    def reboot(self):
        self.store.close()
        self.boot, self.booted_at = "second", self.there
        self.start()

    def moment(self):
        return Moment(self.there + self.wrong, self.boot, self.there - self.booted_at)

    def hear(self, *, late=0.0, answers=""):
        """Hear a message that control made *late* seconds ago."""
        self.clock.hear(self.there - late, answers=answers)

    def takes(self, made_ago, lives):
        """Whether a message is worked on that was made so long ago, and lives so many seconds."""
        made_at = self.there - made_ago
        age = Age(made_at, made_at + lives)
        self.clock.hear(age.made_at)
        try:
            self.clock.demand(age)
        except Unworkable:
            return False
        return True


@pytest.fixture(params=[0.0, 3 * HOUR, -3 * HOUR], ids=["right", "ahead", "behind"])
def lab(request, tmp_path):
    made = Lab(tmp_path, request.param)
    yield made
    made.store.close()


def test_what_is_fresh_at_control_is_fresh_whatever_the_own_clock_says(lab):
    assert lab.takes(made_ago=1, lives=35)
    lab.there += 600
    assert lab.takes(made_ago=1, lives=35)


def test_a_stale_command_dies_of_its_age_whatever_the_own_clock_says(lab):
    lab.hear()
    lab.there += 60

    assert not lab.takes(made_ago=60, lives=35)


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
def test_a_clock_that_is_set_changes_no_age(lab, jump):
    lab.hear()
    lab.wrong += jump

    assert lab.takes(made_ago=1, lives=35)
    assert not lab.takes(made_ago=60, lives=35)


def test_after_a_restart_a_stale_command_still_dies(lab):
    lab.hear()
    lab.there += 600
    lab.store.close()
    lab.start()

    assert not lab.takes(made_ago=60, lives=35)
    assert lab.takes(made_ago=1, lives=35)


def test_after_a_reboot_a_stale_command_still_dies(lab):
    lab.hear()
    lab.there += 600
    lab.reboot()

    assert not lab.takes(made_ago=60, lives=35)


def test_a_clock_that_a_reboot_put_ahead_is_found_out_by_asking(lab):
    lab.hear()
    lab.there += 60
    lab.wrong += 2 * HOUR
    lab.reboot()
    assert not lab.takes(made_ago=1, lives=35)

    question = lab.clock.ask()
    lab.there += 2
    lab.hear(late=1, answers=question)

    assert lab.takes(made_ago=1, lives=35)
    assert abs(lab.clock.time() - lab.there) <= 2


def test_an_answer_that_waited_takes_nothing_back_that_is_known_better(lab):
    question = lab.clock.ask()
    made_at = lab.there
    lab.there += 600
    lab.hear()

    lab.clock.hear(made_at, answers=question)

    assert lab.clock.time() == lab.there


def test_the_own_clocks_difference_is_known(lab):
    assert lab.clock.offset_ms() is None

    lab.hear()

    assert lab.clock.offset_ms() == lab.wrong * 1000
