"""The canary on its timer: what is told, when, and what when it cannot run."""

import json
import sys
import threading

import pytest

from actors.site import check
from actors.site.checks import Checks
from models.observations import Seen
from pxe_stack.canary import Finding, Level, Report
from pxe_stack.store import JournalStore

REPORT = {
    "ok": True,
    "findings": [{"client": "x64", "what": "loader", "level": "ok", "detail": "5 ms"}],
    "foreign": [],
}


@pytest.fixture
def journal(tmp_path):
    store = JournalStore(tmp_path / "journal.db")
    yield store
    store.close()


def says(path):
    return sys.executable, "-c", f"print(open({str(path)!r}).read())"


def rows(journal):
    return [seen for _, seen in journal.pending(0, 99)]


def test_a_check_is_told_once_and_again_when_it_finds_anything_else(journal, tmp_path):
    path = tmp_path / "report"
    checks = Checks(journal, 1, says(path))
    path.write_text(json.dumps(REPORT))
    checks.check()
    path.write_text(json.dumps(REPORT).replace("5 ms", "9 ms"))
    checks.check()
    path.write_text(json.dumps(REPORT).replace('"level": "ok"', '"level": "failed"'))
    checks.check()

    assert [row.data["findings"][0]["level"] for row in rows(journal)] == ["ok", "failed"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"findings": 7}'])
def test_a_check_that_cannot_be_made_has_failed(journal, tmp_path, text):
    path = tmp_path / "report"
    path.write_text(text)

    Checks(journal, 1, says(path)).check()

    (row,) = rows(journal)
    assert row.kind is Seen.SITE_CHECKED
    assert row.data["findings"][0]["level"] == "failed"


def test_the_timer_checks_until_it_is_stopped(journal, tmp_path):
    path = tmp_path / "report"
    path.write_text(json.dumps(REPORT))
    checks, stop = Checks(journal, 0.01, says(path)), threading.Event()
    thread = threading.Thread(target=checks.run, args=(stop,))

    thread.start()
    while not rows(journal):
        assert thread.is_alive()
    stop.set()
    thread.join(60)

    assert not thread.is_alive()


def test_a_report_is_a_table_for_people():
    report = Report(findings=[Finding("x64", "offer", Level.OK, "10.77.0.9 from 10.77.0.1")])

    head, row = check.table(report).splitlines()

    assert head.split() == ["CLIENT", "STEP", "RESULT", "DETAIL"]
    assert row == "x64     offer  ok      10.77.0.9 from 10.77.0.1"
