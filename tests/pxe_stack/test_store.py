import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest

from models.bootplan import Action, snapshot_digest
from models.installer_calls import Caller
from models.observations import Seen
from models.phases import Phase
from pxe_stack.moment import Moment
from pxe_stack.store import BELL, JournalStore, PlanStore
from tests.pxe_stack import make


@pytest.fixture
def plans(tmp_path):
    store = PlanStore(tmp_path / "plans.db")
    yield store
    store.close()


@pytest.fixture
def journal(tmp_path):
    store = JournalStore(tmp_path / "journal.db")
    yield store
    store.close()


def test_a_plan_is_found_by_all_that_a_boot_shows_of_itself(plans):
    plan = make.plan()

    assert plans.put(plan)

    found = [
        plans.by_mac(plan.mac).plan,
        plans.by_run(plan.run).plan,
        plans.by_address(plan.addressing.address).plan,
        plans.by_machine(plan.machine).plan,
    ]
    assert found == [plan] * 4


def test_a_plan_is_found_by_who_asks_until_that_is_another_or_nobody(plans, tmp_path):
    asking = Caller(macs=("52:54:00:00:00:01", "52:54:00:00:00:02"), uuid="u-1", serial="SN-7")
    plan = make.plan(caller=asking)
    plans.put(plan)
    with closing(PlanStore(tmp_path / "plans.db")) as reader:
        found = [reader.by_caller(Caller(macs=("52:54:00:00:00:02", "52:54:00:00:00:99")))]
        found += [reader.by_caller(Caller(uuid="U-1")), reader.by_caller(Caller(serial="SN-7"))]
        assert [each.plan for each in found] == [plan] * 3

        plans.put(make.plan(version=2, caller=Caller(serial="SN-8")))
        assert reader.by_caller(asking) is None
        assert reader.by_caller(Caller(serial="SN-8")).plan.version == 2

        plans.withdraw(plan.machine)
        assert reader.by_caller(Caller(serial="SN-8")) is None


def test_a_card_decides_before_a_serial_number_that_boards_share(plans):
    first = make.another(1, caller=Caller(macs=("52:54:00:00:00:01",), serial="SN-7"))
    second = make.another(2, caller=Caller(macs=("52:54:00:00:00:02",), serial="SN-7"))
    plans.put(first)
    plans.put(second)

    assert plans.by_caller(second.caller).plan == second
    assert plans.by_caller(Caller(serial="SN-7")) is None
    assert plans.by_caller(Caller(macs=(*first.caller.macs, *second.caller.macs))) is None


@pytest.mark.parametrize("version", [1, 0])
def test_a_plan_that_is_not_kept_changes_nobody_that_asks(plans, version):
    plan = make.plan(version=1, caller=Caller(serial="SN-7"))
    plans.put(plan)

    plans.put(make.plan(version=version, caller=Caller(serial="SN-8")))

    assert plans.by_caller(Caller(serial="SN-7")).plan == plan
    assert plans.by_caller(Caller(serial="SN-8")) is None


@pytest.mark.parametrize("version", [1, 0])
def test_a_version_that_is_not_higher_is_dropped(plans, version):
    plans.put(make.plan(version=1, hostname="newer"))

    assert not plans.put(make.plan(version=version, hostname="older"))
    assert plans.by_mac(make.MAC).plan.hostname == "newer"


def test_a_plan_that_a_snapshot_lacks_is_forgotten_and_may_come_again(plans):
    plan = make.plan(version=3)
    plans.put(plan)

    assert plans.withdraw(plan.machine)
    assert not plans.withdraw(plan.machine)

    assert (plans.by_mac(plan.mac), plans.all()) == (None, ())
    assert plans.digest() == snapshot_digest([])
    assert not plans.put(replace(plan, version=2))
    assert plans.put(plan)


def test_the_time_of_a_plan_runs_anew_when_control_sends_the_same_again(plans):
    plan = make.plan()
    plans.put(plan, Moment(100.0, "boot", 10.0))

    assert not plans.put(plan, Moment(200.0, "boot", 110.0))
    assert not plans.put(replace(plan, hostname="other"), Moment(300.0, "boot", 210.0))

    assert plans.by_mac(plan.mac).since == Moment(200.0, "boot", 110.0)


def test_another_reader_sees_a_change_at_once(plans, tmp_path):
    reader = PlanStore(tmp_path / "plans.db")
    plans.put(make.plan())
    assert reader.by_mac(make.MAC).plan.action is Action.INSTALL

    plans.put(make.plan(version=2, action=Action.LOCAL))

    assert reader.by_mac(make.MAC).plan.action is Action.LOCAL
    reader.close()


def test_an_old_run_is_no_longer_found(plans):
    plan = make.plan()
    plans.put(plan)

    plans.put(replace(plan, version=2, run=uuid4()))

    assert plans.by_run(plan.run) is None


def test_a_file_is_served_under_its_url_path_with_its_chunks(plans, tmp_path):
    image = tmp_path / "image.raw"
    image.write_bytes(b"x")

    plans.put_file("os/image.raw", image, sha256="ab", size=1, chunks="sprout-chunks 1 1 ab\n")

    assert plans.file("os/image.raw").location == image
    assert plans.chunks("os/image.raw") == "sprout-chunks 1 1 ab\n"
    assert plans.file("os/other") is None


def test_rows_are_numbered_once_and_for_all(journal):
    numbers = [journal.append(make.seen(Seen.SCRIPT_SERVED)) for _ in range(3)]
    journal.forget(numbers[-1])

    assert numbers == [1, 2, 3]
    assert journal.append(make.seen(Seen.SCRIPT_SERVED)) == 4
    assert [seq for seq, _ in journal.pending(0, 10)] == [4]


def test_after_a_power_cut_no_number_is_given_twice(tmp_path):
    path = tmp_path / "journal.db"
    lives = []
    for boot in ("first", "first", "second"):
        journal = JournalStore(path, boot)
        lives.append(journal.append(make.seen(Seen.DHCP_OFFERED)))
        assert [seq for seq, _ in journal.pending(0, 10)] == lives
        journal.close()

    assert lives[1] == lives[0] + 1
    assert lives[2] > lives[1] + 100_000


def test_an_older_copy_of_the_journal_numbers_what_it_sees_apart(tmp_path):
    """A backup that is put back knows nothing of the rows that were sent since."""
    lives = []
    for copy in ("as it was", "put back"):
        (tmp_path / copy).mkdir()
        path = tmp_path / copy / "journal.db"
        if lives:
            path.write_bytes((tmp_path / "backup.db").read_bytes())
        journal = JournalStore(path)
        if not lives:
            journal.begin()
            journal.append(make.seen(Seen.SCRIPT_SERVED))
            journal.close()
            (tmp_path / "backup.db").write_bytes(path.read_bytes())
            journal = JournalStore(path)
        journal.begin()
        journal.append(make.seen(Seen.INSTALLED))
        lives.append([(row.incarnation, row.seq) for row in journal.rows(0, 10)])
        journal.close()

    assert lives[0][0] == lives[1][0]
    assert len({number for life in lives for number in life}) == 3


def test_what_waits_to_be_sent_keeps_the_incarnation_that_it_was_seen_in(journal):
    first = str(journal.incarnation)
    journal.append(make.seen(Seen.SCRIPT_SERVED))

    journal.begin()
    journal.append(make.seen(Seen.INSTALLED))

    assert [row.incarnation for row in journal.rows(0, 9)] == [first, str(journal.incarnation)]


def test_a_journal_of_an_older_version_is_opened_with_its_rows(tmp_path):
    path = tmp_path / "journal.db"
    journal = JournalStore(path)
    journal.append(make.seen(Seen.INSTALLED))
    journal.close()
    with closing(sqlite3.connect(path)) as old:
        old.execute("ALTER TABLE observations DROP COLUMN incarnation")

    journal = JournalStore(path)
    told = [row.incarnation for row in journal.rows(0, 9)]
    journal.close()

    assert told == [str(journal.incarnation)]


def test_a_row_of_a_newer_version_holds_no_other_up_and_is_sent_as_it_is(journal, tmp_path):
    journal.append(make.seen(Seen.SCRIPT_SERVED))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as newer:
        newer.execute('INSERT INTO observations (body) VALUES (\'{"kind": "of-next-year"}\')')
        newer.execute("INSERT INTO observations (body) VALUES ('no JSON')")
        newer.commit()
    journal.append(make.seen(Seen.INSTALLED))

    kinds = [row.body["kind"] for row in journal.rows(0, 9)]

    assert kinds == ["script-served", "of-next-year", "no JSON", "installed"]
    assert [seen.kind for _, seen in journal.pending(1, 2)] == [Seen.UNREADABLE] * 2


def test_what_somebody_waits_for_is_found_in_a_long_journal(journal):
    journal.append_all([make.seen(Seen.INSTALL_PROGRESS)] * 50)
    done = journal.append(make.seen(Seen.TASK_DONE))
    journal.append_all([make.seen(Seen.INSTALL_PROGRESS)] * 50)

    rows, looked = journal.urgent(0, 10)

    assert ([row.seq for row in rows], looked) == ([done], 101)
    assert journal.urgent(looked, 10) == ((), looked)


def test_what_was_seen_comes_back_as_it_was(journal):
    seen = make.seen(Seen.INSTALL_PROGRESS, run=uuid4(), data={"written": "5"})

    journal.append(seen)

    assert journal.pending(0, 10) == ((1, seen),)


def test_the_phase_of_a_run_follows_what_is_seen_and_never_goes_back(journal):
    run = uuid4()
    steps = [Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.SCRIPT_SERVED, Seen.INSTALLED]

    phases = []
    for kind in steps:
        journal.append(make.seen(kind, run=run))
        phases.append(journal.phase(run))

    assert phases == [Phase.PXE_BOOTED, Phase.INSTALLING, Phase.INSTALLING, Phase.INSTALLED]


def test_a_run_that_nobody_saw_is_ready_to_boot(journal):
    assert journal.phase(uuid4()) is Phase.PXE_READY


def test_a_failed_install_ends_its_run_here_at_once(journal):
    run = uuid4()

    journal.append(make.seen(Seen.INSTALL_FAILED, run=run))
    journal.append(make.seen(Seen.SCRIPT_SERVED, run=run))

    assert journal.phase(run) is Phase.FAILED


def test_a_failure_reported_after_the_end_changes_nothing(journal):
    run = uuid4()
    journal.append(make.seen(Seen.INSTALLED, run=run))

    journal.append(make.seen(Seen.INSTALL_FAILED, run=run))

    assert journal.phase(run) is Phase.INSTALLED


def test_a_file_keeps_its_incarnation_and_another_has_another(journal, tmp_path):
    same = JournalStore(tmp_path / "journal.db")
    other = JournalStore(tmp_path / "other" / "journal.db")

    assert same.incarnation == journal.incarnation != other.incarnation
    same.close()
    other.close()


def test_a_stranger_who_repeats_himself_makes_one_row_and_an_exact_count(journal):
    again = make.seen(Seen.DHCP_IGNORED, data={"why": "not-ours"})

    written = [journal.append(again) for _ in range(1000)]
    journal.flush()

    assert written == [1] + [0] * 999
    assert journal.counters() == {"dhcp-ignored not-ours": 1000}


def test_the_time_of_the_last_confirmed_address_is_known(journal):
    journal.append(make.seen(Seen.DHCP_ACKED, at=5.0))

    assert journal.acked_at(make.MAC) == 5.0
    assert journal.acked_at("52:54:00:00:00:99") is None


def test_only_living_processes_are_ready(journal):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    journal.mark_ready("dhcp")
    journal.mark_ready("tftp", gone.pid)

    assert journal.ready_services() == {"dhcp": os.getpid()}
    journal.begin()
    assert journal.ready_services() == {}


def test_the_agent_is_woken_by_a_new_row(journal, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.bind(str(tmp_path / BELL))
        bell.settimeout(60)

        journal.append(make.seen(Seen.SCRIPT_SERVED))

        assert bell.recv(16)


WRITER = """
import sys
from pathlib import Path
from models.observations import Seen
from pxe_stack.moment import Moment
from pxe_stack.store import JournalStore
from tests.pxe_stack import make
journal = JournalStore(Path(sys.argv[1]))
for _ in range(200):
    journal.append(make.seen(Seen.INSTALL_PROGRESS))
"""


def test_several_processes_that_open_and_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "journal.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(4)]

    assert [writer.wait(60) for writer in writers] == [0] * 4

    journal = JournalStore(path)
    assert [seq for seq, _ in journal.pending(0, 1000)] == list(range(1, 801))
    journal.close()
