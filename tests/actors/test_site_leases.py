"""Leases on a clock that the test turns."""

import time
from uuid import uuid4

import pytest

from actors.site.leases import LEASE_S, MOST, RENEW_S, TOGETHER_S, Gone, Leases


class Lab:
    def __init__(self):
        self.now, self.called, self.woken = 100.0, [], 0
        self.leases = Leases(lambda: self.now)
        self.leases.wake = self.wake

    def wake(self):
        self.woken += 1

    def hold(self):
        task = uuid4()
        self.leases.hold(task, 1, lambda: self.called.append(task))
        return task

    def renew(self, *, late=0.0, without=()):
        """Send a renewal, and have it answered *late* seconds later."""
        body = self.leases.renewal()
        self.now += late
        listed = [each for each in body["tasks"] if each["task"] not in map(str, without)]
        self.leases.answered({"n": body["n"], "tasks": listed})


@pytest.fixture
def lab():
    return Lab()


def test_a_task_has_no_lease_before_a_renewal_was_answered(lab):
    task = lab.hold()

    body = lab.leases.renewal()
    assert not lab.leases.valid(task, 1)
    lab.leases.answered(body)

    assert lab.leases.valid(task, 1)
    assert lab.called == [task]


def test_a_lease_counts_from_the_sending_of_the_renewal(lab):
    task = lab.hold()

    lab.renew(late=LEASE_S - 1)
    assert lab.leases.valid(task, 1)
    lab.now += 1

    assert not lab.leases.valid(task, 1)


def test_an_answer_that_comes_after_its_lease_is_over_grants_nothing(lab):
    task = lab.hold()

    lab.renew(late=LEASE_S)

    assert not lab.leases.valid(task, 1)


def test_an_answer_to_a_renewal_that_did_not_list_a_task_says_nothing_of_it(lab):
    early = lab.leases.renewal()
    task = lab.hold()

    lab.leases.answered(early)

    assert lab.leases.gone(task, 1) is None


def test_the_same_answer_twice_extends_nothing(lab):
    task = lab.hold()
    body = lab.leases.renewal()
    lab.leases.answered(body)
    lab.now += LEASE_S

    lab.leases.answered(body)

    assert not lab.leases.valid(task, 1)


def test_a_task_that_is_no_longer_listed_is_lost_for_good(lab):
    task = lab.hold()
    lab.renew()

    lab.renew(without=[task])
    lab.renew()

    assert lab.leases.gone(task, 1) is Gone.LOST
    assert not lab.leases.valid(task, 1)


def test_a_cancelled_task_is_ready_to_hear_it_and_has_no_lease_again(lab):
    task = lab.hold()

    assert lab.leases.cancel(task, 1)
    lab.renew()

    assert lab.called == [task]
    assert lab.leases.gone(task, 1) is Gone.CANCELLED
    assert not lab.leases.valid(task, 1)


def test_another_epoch_of_a_task_is_another_lease(lab):
    task = lab.hold()
    lab.renew()

    assert not lab.leases.valid(task, 2)
    assert not lab.leases.cancel(task, 2)


def test_a_renewal_is_due_at_once_for_a_new_task_and_then_every_ten_seconds(lab):
    assert lab.leases.due_in() == float("inf")
    lab.hold()
    assert (lab.leases.due_in(), lab.woken) == (0, 1)

    lab.renew()

    assert lab.leases.due_in() == RENEW_S
    lab.now += RENEW_S
    assert lab.leases.due_in() == 0


def test_tasks_that_come_at_once_ask_in_one_renewal(lab):
    lab.hold()
    lab.renew()

    lab.hold()
    lab.hold()

    assert lab.leases.due_in() == pytest.approx(TOGETHER_S)
    assert len(lab.leases.renewal()["tasks"]) == 3


def test_a_renewal_that_may_not_have_gone_out_is_due_again(lab):
    task = lab.hold()
    lab.leases.renewal()

    lab.leases.ask_again()

    assert lab.leases.due_in() == 0
    lab.renew()
    assert lab.leases.valid(task, 1)


def test_what_ended_is_renewed_no_more(lab):
    task = lab.hold()
    lab.renew()

    lab.leases.drop(task, 1)

    assert lab.leases.renewal()["tasks"] == []
    assert lab.leases.due_in() == float("inf")


def test_a_renewal_fits_a_message_however_many_tasks_wait(lab):
    tasks = [lab.hold() for _ in range(MOST + 5)]

    lab.renew()

    assert lab.leases.valid(tasks[0], 1)
    assert (lab.leases.valid(tasks[-1], 1), lab.leases.gone(tasks[-1], 1)) == (False, None)


def test_a_lease_runs_out_while_the_computer_sleeps(monkeypatch):
    clocks = {time.CLOCK_MONOTONIC: 0.0, time.CLOCK_BOOTTIME: 0.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    leases, task = Leases(), uuid4()
    leases.hold(task, 1, lambda: None)
    leases.answered(leases.renewal())
    assert leases.valid(task, 1)

    clocks[time.CLOCK_BOOTTIME] += LEASE_S

    assert not leases.valid(task, 1)
