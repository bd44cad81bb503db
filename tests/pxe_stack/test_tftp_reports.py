"""How transfers ended, as the journal has it."""

from collections import Counter

from models.observations import Seen
from pxe_stack.site_directory import Stores
from pxe_stack.tftp_outcome import Counted, Outcome, Why
from pxe_stack.tftp_reports import Reports
from tests.pxe_stack import make


def told(folder, outcomes, counts=()):
    """Return what a journal has of *outcomes* and *counts* after they were told."""
    stores = Stores(folder, make.AGENT)
    stores.plans.put(make.plan())
    reports = Reports(stores, Counter(counts))
    for outcome in outcomes:
        reports.tell(outcome)
    reports.close()
    rows = [seen for _, seen in stores.journal.pending(0, 100)]
    counted = dict(stores.journal.counters())
    stores.close()
    return rows, counted


def test_a_file_that_came_whole_is_a_row_of_the_machine_that_has_the_address(tmp_path):
    outcome = Outcome(client=make.ADDRESS, name="snponly.efi", size=9, blocks=1, seconds=0.5)

    (row,), _ = told(tmp_path, [outcome])

    assert (row.kind, row.mac, row.run) == (Seen.TFTP_SENT, make.MAC, make.plan().run)
    assert (row.data["name"], row.data["bytes"], row.data["seconds"]) == ("snponly.efi", 9, 0.5)
    assert "why" not in row.data


def test_what_failed_says_why_once_a_minute_and_is_counted_each_time(tmp_path):
    outcome = Outcome(client="10.9.9.9", name="x", why=Why.CLIENT_ERROR, detail="3 disk full")

    (row,), counted = told(tmp_path, [outcome] * 50)

    assert (row.kind, row.mac) == (Seen.TFTP_FAILED, None)
    assert (row.data["why"], row.data["detail"]) == ("client-error", "3 disk full")
    assert counted == {"tftp-failed client-error": 50}


def test_whatever_a_stranger_writes_there_are_no_more_labels_than_reasons(tmp_path):
    outcomes = [
        Outcome(client=f"10.9.0.{n}", name=f"{n}", why=Why.MALFORMED, detail=f"said {n}")
        for n in range(200)
    ]

    _, counted = told(tmp_path, outcomes)

    assert counted == {"tftp-failed malformed": 200}


def test_what_is_not_worth_a_row_is_a_count(tmp_path):
    rows, counted = told(tmp_path, [], {Counted.REPEATED: 7, Counted.FULL: 2})

    assert rows == []
    assert counted == {"tftp repeated": 7, "tftp full": 2}
