import json
import sqlite3
import threading
from uuid import UUID, uuid4

import pytest

from actors.drivers.errors import Refused, Unreachable
from actors.site import runner, warrant
from actors.site.lanes import Lanes
from actors.site.leases import Leases
from actors.site.runner import THREADS, Runner
from actors.site.store import AgentStore, Intent, State
from models.errors import Invalid
from models.observations import Seen
from tests.actors.lane import until
from tests.actors.site_lab import Folder

STARTED, DONE, FAILED, CALL = "task-started", "task-done", "task-failed", "bmc-call"


class Work:
    """Stands in for the bench: does what the test says, and remembers what was asked."""

    def __init__(self):
        self.does = lambda order: {"power": "on"}
        self.done = []
        self.looked = []

    def perform(self, order, deadline, tell, warrant):
        self.warrant = warrant
        self.done.append((order.task, deadline.left))
        tell(1.0, {"verb": "POST", "ms": 5, "status": 204})
        return self.does(order)

    def read_back(self, order, deadline, tell):
        self.looked.append(order.task)
        return {"power": "off"}


class Lab:
    def __init__(self, path):
        self.site = Folder(path)
        self.store = AgentStore(path)
        self.work = Work()
        self.kept = []
        self.restart()

    def run(self, *bodies):
        """Accept *bodies* and return when all that was accepted has ended."""
        for body in bodies:
            self.runner.accept(body)
        until(lambda: not self.store.unfinished())

    def restart(self, *, granted=True):
        """Begin a new life; what it asks leases for is *granted* at once, or never answered."""
        self.leases = Leases()
        self.runner = Runner(self.store, self.site.journal, self.work, self.leases, keep=self.keep)
        if granted:
            self.leases.wake = self.grant

    def keep(self, order, name, content):
        self.kept.append((order.task, name, json.loads(content)))
        return {"name": name, "size": len(content)}

    def grant(self):
        self.leases.answered(self.leases.renewal())


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.runner.close()
    made.store.close()
    made.site.close()


def a_task(**changes):
    return {
        "task": str(uuid4()),
        "kind": "power-on",
        "epoch": 1,
        "attempt": 1,
        "deadline_s": 60,
        "machine": str(uuid4()),
        "run": None,
        "params": {},
        "bmc": {"address": "http://127.0.0.1:1", "username": "u", "secret_ref": "env:BMC"},
    } | changes


def test_a_task_is_reported_from_its_intent_to_its_result(lab):
    body = a_task()

    lab.run(body)

    assert lab.site.kinds() == [STARTED, CALL, DONE]
    _, data = lab.site.seen()[-1]
    assert (data["task"], data["epoch"], data["result"]) == (body["task"], 1, {"power": "on"})


def test_what_fits_no_message_is_kept_before_its_task_is_reported(lab):
    body = a_task(kind="redfish-inventory")
    lab.work.does = lambda _: {"power": "on", "record": {"system": {"Id": "1"}}}

    lab.run(body)

    name = "redfish-inventory-record.json"
    assert lab.kept == [(UUID(body["task"]), name, {"system": {"Id": "1"}})]
    _, data = lab.site.seen()[-1]
    assert (data["result"], data["evidence"][0]["name"]) == ({"power": "on"}, name)


def test_the_intent_is_on_the_disk_before_the_side_effect(lab):
    seen = []

    def look(order):
        [accepted] = AgentStore(lab.site.path).unfinished()
        seen.append((accepted.state, lab.site.kinds()[0]))
        return {}

    lab.work.does = look

    lab.run(a_task())

    assert seen == [(State.STARTED, STARTED)]


@pytest.mark.parametrize(
    ("error", "retryable"), [(Unreachable("gone"), True), (Refused("no"), False)]
)
def test_a_failure_says_why_and_whether_it_may_pass(lab, error, retryable):
    def fail(order):
        raise error

    lab.work.does = fail

    lab.run(a_task())

    _, data = lab.site.seen()[-1]
    assert (lab.site.kinds()[-1], data["reason"], data["retryable"]) == (
        FAILED,
        str(error),
        retryable,
    )


def test_a_fault_of_our_own_ends_the_task_and_repeats_no_detail(lab):
    def fail(order):
        raise RuntimeError("with a secret in it")

    lab.work.does = fail

    lab.run(a_task())

    _, data = lab.site.seen()[-1]
    assert (data["reason"], data["retryable"]) == ("a fault in Sprout: RuntimeError", False)


def test_the_same_task_and_epoch_does_nothing_more(lab):
    body = a_task()

    lab.run(body, body)
    lab.restart()
    lab.run(body)

    assert len(lab.work.done) == 1


def test_an_older_epoch_does_nothing_and_a_newer_one_runs(lab):
    body = a_task(epoch=2)

    lab.run(body, body | {"epoch": 1}, body | {"epoch": 3})

    assert [data["epoch"] for kind, data in lab.site.seen() if kind == DONE] == [2, 3]


@pytest.mark.parametrize(
    "change",
    [{"bmc": None}, {"task": "x"}, {"epoch": None}, {"deadline_s": "y"}],
)
def test_a_malformed_task_is_refused(lab, change):
    with pytest.raises(Invalid):
        lab.runner.accept(a_task(**change))


def test_a_task_that_is_not_known_here_is_answered_and_not_tried_again(lab):
    body = a_task(kind="explode")

    lab.runner.accept(body)

    [(kind, data)] = lab.site.seen()
    assert (kind, data["task"], data["retryable"]) == (FAILED, body["task"], False)
    assert "explode" in data["reason"]


def test_a_task_of_a_lower_epoch_than_its_machine_has_seen_is_never_run(lab):
    newer = a_task(epoch=7)

    lab.run(newer, a_task(epoch=6, machine=newer["machine"]))

    assert len(lab.work.done) == 1
    [refused] = [data for _, data in lab.site.seen() if data["epoch"] == 6]
    assert refused["cancelled"]


def test_a_later_task_of_a_machine_ends_what_an_earlier_one_still_does(lab):
    begun, overtaken = threading.Event(), threading.Event()

    def write_late(order):
        if order.epoch == 1:
            begun.set()
            overtaken.wait(60)
            lab.first.permit("POST", "http://bmc/reset")
        return {}

    lab.work.does = write_late
    earlier = a_task()
    lab.runner.accept(earlier)
    assert begun.wait(60)
    lab.first = lab.work.warrant
    lab.runner.accept(a_task(epoch=2, machine=earlier["machine"]))
    overtaken.set()
    until(lambda: not lab.store.unfinished())

    ends = {data["epoch"]: kind for kind, data in lab.site.seen() if kind in {DONE, FAILED}}
    assert (ends, lab.store.intents()) == ({1: FAILED, 2: DONE}, ())


def test_without_an_answered_renewal_nothing_begins(lab):
    lab.restart(granted=False)

    lab.runner.accept(a_task())

    assert lab.site.kinds() == []
    lab.grant()
    until(lambda: lab.site.kinds() == [STARTED, CALL, DONE])


def test_a_task_that_is_cancelled_before_it_began_says_so(lab):
    lab.restart(granted=False)
    body = a_task()
    lab.runner.accept(body)

    lab.runner.cancel(UUID(body["task"]), 1)
    until(lambda: not lab.store.unfinished())

    [(kind, data)] = lab.site.seen()
    assert (kind, data["cancelled"], lab.work.done) == (FAILED, True, [])


def test_a_task_that_control_no_longer_lists_is_lost(lab):
    lab.restart(granted=False)
    lab.runner.accept(a_task())

    lab.leases.answered({"n": lab.leases.renewal()["n"], "tasks": []})
    until(lambda: not lab.store.unfinished())

    [(_, data)] = lab.site.seen()
    assert data["lost"]


def test_a_write_after_the_lease_ran_out_is_not_sent_and_the_task_ends(lab):
    def write(order):
        lab.leases.cancel(order.task, order.epoch)
        lab.work.warrant.permit("POST", "http://bmc/reset")

    lab.work.does = write

    lab.run(a_task())

    _, data = lab.site.seen()[-1]
    assert data["cancelled"]
    assert lab.store.intents() == ()


def test_every_write_is_on_the_disk_before_it_is_sent(lab):
    body = a_task()
    lab.work.does = lambda _: lab.work.warrant.permit("POST", "http://bmc/reset") or {}

    lab.run(body)

    assert lab.store.intents() == (
        Intent(UUID(body["task"]), 1, "POST", "http://bmc/reset", status=None),
    )


def test_a_write_whose_intent_took_longer_than_its_lease_is_not_sent(lab, monkeypatch):
    intend = lab.store.intend

    def hang(task, epoch, method, url):
        lab.leases.cancel(task, epoch)
        return intend(task, epoch, method, url)

    monkeypatch.setattr(lab.store, "intend", hang)
    body = a_task()
    lab.work.does = lambda _: lab.work.warrant.permit("POST", "http://bmc/reset") or {}

    lab.run(body)

    assert lab.site.kinds()[-1] == FAILED
    assert lab.store.intents() == (
        Intent(UUID(body["task"]), 1, "POST", "http://bmc/reset", status=warrant.NOT_SENT),
    )


def full(*_):
    raise sqlite3.OperationalError("database or disk is full")


def test_an_end_that_the_disk_does_not_take_is_told_when_it_does(lab, monkeypatch):
    append, refused = lab.site.journal.append, []

    def later(seen):
        if seen.kind is Seen.TASK_DONE and len(refused) < 2:
            refused.append(seen)
            full()
        return append(seen)

    monkeypatch.setattr(runner, "WRITE_PAUSES_S", (0.0,) * 3)
    monkeypatch.setattr(lab.site.journal, "append", later)

    lab.run(a_task())

    assert lab.site.kinds() == [STARTED, CALL, DONE]


@pytest.mark.parametrize("broken", ["journal.append", "store.move"])
def test_a_task_whose_end_is_never_written_is_renewed_no_more(lab, monkeypatch, broken):
    whose, name = broken.split(".")
    monkeypatch.setattr(runner, "WRITE_PAUSES_S", (0.0,) * 3)

    def break_it(_):
        monkeypatch.setattr({"journal": lab.site.journal, "store": lab.store}[whose], name, full)
        return {}

    lab.work.does = break_it

    lab.runner.accept(a_task())
    until(lambda: lab.leases.renewal()["tasks"] == [])

    [accepted] = lab.store.unfinished()
    assert accepted.state is State.STARTED


def test_a_task_whose_beginning_the_disk_does_not_take_may_be_tried_again(lab, monkeypatch):
    move = lab.store.move

    def refuse(task, epoch, state):
        return full() if state is State.STARTED else move(task, epoch, state)

    monkeypatch.setattr(lab.store, "move", refuse)

    lab.run(a_task())

    [(kind, data)] = lab.site.seen()
    assert (kind, data["retryable"], lab.work.done) == (FAILED, True, [])


def test_a_long_task_tells_of_its_progress(lab, monkeypatch):
    monkeypatch.setattr(warrant, "QUIET_S", 0.0)
    lab.work.does = lambda _: lab.work.warrant.progress("waiting for power on") or {}

    lab.run(a_task())

    [data] = [data for kind, data in lab.site.seen() if kind == "task-progress"]
    assert (data["epoch"], data["doing"]) == (1, "waiting for power on")


def crash_in_the_middle(lab, **changes):
    body = a_task(**changes)
    lab.store.accept(body["task"], body["machine"], body["epoch"], body)
    lab.store.move(body["task"], body["epoch"], State.STARTED)
    lab.runner.resume()
    until(lambda: not lab.store.unfinished())


def test_after_a_restart_a_task_that_only_reads_is_repeated(lab):
    crash_in_the_middle(lab, kind="redfish-inventory")

    assert lab.site.kinds()[-1] == DONE
    assert len(lab.work.done) == 1


@pytest.mark.parametrize("name", ["power-on", "power-off", "reboot", "boot-source"])
def test_after_a_restart_what_writes_is_read_back_and_reported_unknown(lab, name):
    crash_in_the_middle(lab, kind=name)

    kind, data = lab.site.seen()[-1]
    assert (lab.work.done, len(lab.work.looked)) == ([], 1)
    assert (kind, data["unknown"], data["result"], data["retryable"]) == (
        FAILED,
        True,
        {"power": "off"},
        True,
    )


def test_after_a_restart_a_task_that_had_not_begun_runs(lab):
    body = a_task(kind="reboot")
    lab.store.accept(body["task"], body["machine"], 1, body)
    lab.runner.resume()
    until(lambda: not lab.store.unfinished())

    assert lab.site.kinds()[-1] == DONE


def test_an_ended_task_is_not_resumed(lab):
    lab.run(a_task())
    lab.restart()

    lab.runner.resume()
    until(lambda: not lab.store.unfinished())

    assert len(lab.work.done) == 1


def test_a_task_ends_before_control_stops_waiting(lab):
    lab.run(a_task(deadline_s=100))

    [(_, left)] = lab.work.done
    assert 80 < left <= 90


def test_a_task_whose_time_is_over_is_not_begun(lab):
    lab.run(a_task(deadline_s=0))

    [(kind, data)] = lab.site.seen()
    assert (kind, data["retryable"], lab.work.done) == (FAILED, True, [])


class Crossing:
    """Counts how many are inside at once; the first stay until *crowd* are, then each a moment."""

    def __init__(self, crowd=1):
        self.lock = threading.Lock()
        self.across, self.crowded = threading.Event(), threading.Event()
        self.crowd = crowd
        self.now = self.most = 0

    def __call__(self, _order=None):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.most >= self.crowd:
                self.crowded.set()
        self.crowded.wait(60)
        self.across.wait(0.02)
        with self.lock:
            self.now -= 1
        return {}


def test_tasks_of_one_bmc_run_one_after_another(lab):
    lab.work.does = crossing = Crossing()

    for body in [a_task() for _ in range(5)]:
        lab.runner.accept(body)
    until(lambda: lab.site.kinds().count(DONE) == 5)

    assert crossing.most == 1


def test_tasks_of_one_bmc_never_overlap_however_its_address_is_written(lab):
    lab.work.does = crossing = Crossing()
    written = (
        {"address": "10.0.0.5"},
        {"address": "https://10.0.0.5:443/redfish/v1"},
        {"address": "http://10.0.0.5"},
        {"address": "[::ffff:10.0.0.5]"},
        {"address": "ipmi://10.0.0.5", "protocol": "ipmi"},
        {"address": "10.0.0.5:623", "protocol": "ipmi"},
    )

    for bmc in written:
        lab.runner.accept(a_task(bmc=bmc))
    until(lambda: lab.site.kinds().count(DONE) == len(written))

    assert crossing.most == 1


def test_tasks_of_several_bmcs_run_at_once_and_never_more_than_the_pool_holds(lab):
    lab.work.does = crossing = Crossing(crowd=4)

    for number in range(40):
        lab.runner.accept(a_task(bmc={"address": f"http://127.0.0.1:{number}"}))
    until(lambda: lab.site.kinds().count(DONE) == 40)

    assert 4 <= crossing.most <= THREADS


def test_a_broken_piece_of_work_does_not_block_its_lane():
    lanes, done = Lanes(1), threading.Event()

    def broken():
        raise RuntimeError

    lanes.put("bmc", broken)
    lanes.put("bmc", done.set)

    assert done.wait(60)
    lanes.close()
