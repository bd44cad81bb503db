"""Notes of DHCP are written beside its loop: exactly, within bounds, however long others write."""

import sqlite3
from uuid import UUID

import pytest

from models.observations import Observation, Seen, Source
from pxe_stack.dhcp_scribe import MOST, UNWRITTEN, Scribe
from pxe_stack.journal import JOURNAL, JournalStore
from tests.pxe_stack.lab import until

MACHINE = UUID("00000000-0000-4000-8000-00000000000c")


def row(n, machine=None):
    return Observation(
        kind=Seen.DHCP_OFFERED,
        source=Source.DHCP,
        at=float(n),
        mac="52:54:00:00:00:01",
        machine=machine,
        run=None,
        data={},
    )


@pytest.fixture
def journal(tmp_path):
    made = JournalStore(tmp_path / JOURNAL)
    yield made
    made.close()


@pytest.fixture
def scribe(tmp_path, journal):
    return Scribe(lambda: JournalStore(tmp_path / JOURNAL))


@pytest.fixture
def other(tmp_path, journal):
    """Somebody else who writes to the journal."""
    made = sqlite3.connect(tmp_path / JOURNAL, isolation_level=None)
    yield made
    made.close()


def test_all_that_was_taken_is_written_in_order_when_it_is_closed(scribe, journal):
    for n in range(1000):
        scribe.append_all([row(n)])
        scribe.count({"asked": 2})
    scribe.close()

    assert [seen.at for _, seen in journal.pending(0, 2000)] == list(range(1000))
    assert journal.counters()["asked"] == 2000


def test_nobody_waits_while_another_writes(scribe, journal, other):
    other.execute("BEGIN IMMEDIATE")
    for n in range(10):
        scribe.append_all([row(n)])
        scribe.flush()
    before = journal.pending(0, 100)  # all of the above has returned, though nobody could write
    other.execute("COMMIT")
    scribe.close()

    assert before == ()
    assert len(journal.pending(0, 100)) == 10


def test_what_does_not_fit_is_counted_and_planned_machines_have_room(scribe, journal, other):
    other.execute("BEGIN IMMEDIATE")
    for n in range(2 * MOST):
        scribe.append_all([row(n)])
    for n in range(100):
        scribe.append_all([row(n, MACHINE)])
    other.execute("COMMIT")
    scribe.close()
    rows = journal.pending(0, 4 * MOST)

    assert sum(seen.machine is not None for _, seen in rows) == 100
    assert len(rows) + journal.counters()[UNWRITTEN] == 2 * MOST + 100
    assert len(rows) <= MOST + 256 + 100


def test_a_journal_that_cannot_be_written_ends_nothing_and_is_told_of(scribe, journal, other):
    other.execute("ALTER TABLE observations RENAME TO elsewhere")
    scribe.append_all([row(1), row(2)])
    until(lambda: scribe._journal._tally.counts[UNWRITTEN] == 2)
    other.execute("ALTER TABLE elsewhere RENAME TO observations")
    scribe.append_all([row(3)])
    scribe.close()

    assert [seen.at for _, seen in journal.pending(0, 10)] == [3.0]
    assert journal.counters()[UNWRITTEN] == 2
