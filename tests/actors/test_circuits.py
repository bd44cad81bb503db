import pytest

from actors.drivers.circuits import FIRST_REST_S, LONGEST_REST_S, MOST_SILENT, Circuits
from actors.drivers.errors import LeaseLost, Refused, Resting, Unreachable

BMC = "10.0.0.5"


class Asked:
    """Tasks at one BMC, by a clock that the test moves."""

    def __init__(self):
        self.now = 0.0
        self.circuits = Circuits(lambda: self.now)
        self.reached = 0

    def task(self, *statuses, ends=None, bmc=BMC):
        """Run a task that sees *statuses* and then *ends* with an error, or well."""
        with self.circuits.asking(bmc) as hearing:
            self.reached += 1
            for status in statuses:
                hearing.note(status)
            if ends is not None:
                raise ends

    def silence(self, times=1):
        for _ in range(times):
            with pytest.raises(Unreachable):
                self.task(0, ends=Unreachable("no answer"))

    def rests(self):
        """Return why nothing is sent now."""
        before = self.reached
        with pytest.raises(Resting) as caught:
            self.task(200)
        assert self.reached == before
        return str(caught.value)


@pytest.fixture
def asked():
    return Asked()


def test_a_bmc_that_was_silent_a_few_times_is_left_alone_and_that_is_said_at_once(asked):
    asked.silence(MOST_SILENT)

    assert asked.rests() == f"the BMC at {BMC} did not answer 3 times; it is asked again in 10 s"


def test_another_bmc_is_asked_all_the_same(asked):
    asked.silence(MOST_SILENT)

    asked.task(200, bmc="10.0.0.6")

    assert asked.reached == MOST_SILENT + 1


def test_after_its_rest_one_task_tries_and_the_others_wait_for_what_it_hears(asked):
    asked.silence(MOST_SILENT)
    asked.now += FIRST_REST_S

    with asked.circuits.asking(BMC) as hearing:
        assert asked.rests().endswith("it is being asked again")
        hearing.note(200)

    asked.task(200)


def test_silence_at_the_try_doubles_the_rest_up_to_a_bound(asked):
    asked.silence(MOST_SILENT)
    rests = []
    for _ in range(20):
        rests.append(asked.rests().rpartition(" in ")[2])
        asked.now += LONGEST_REST_S
        asked.silence()

    assert rests[:5] == ["10 s", "20 s", "40 s", "80 s", "120 s"]
    assert rests[-1] == "120 s"


@pytest.mark.parametrize("ends", [None, Refused("no"), Unreachable("it broke off")])
def test_any_answer_ends_the_count(asked, ends):
    asked.silence(MOST_SILENT - 1)
    if ends is None:
        asked.task(200)
    else:
        with pytest.raises(type(ends)):
            asked.task(503, 0, ends=ends)

    asked.silence(MOST_SILENT - 1)
    asked.task(200)


@pytest.mark.parametrize(
    ("statuses", "ends"),
    [((), Unreachable("no time is left")), ((), LeaseLost("gone")), ((0,), Refused("its TLS"))],
)
def test_a_task_that_never_asked_proves_nothing(asked, statuses, ends):
    for _ in range(2 * MOST_SILENT):
        with pytest.raises(type(ends)):
            asked.task(*statuses, ends=ends)

    asked.task(200)


def test_a_try_that_ended_before_it_asked_leaves_the_next_one_to_try(asked):
    asked.silence(MOST_SILENT)
    asked.now += FIRST_REST_S

    with pytest.raises(LeaseLost):
        asked.task(ends=LeaseLost("gone"))

    asked.task(200)
