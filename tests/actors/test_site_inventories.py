import hashlib
from uuid import uuid4

import pytest

from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused, Unreachable
from actors.site import findings
from actors.site.inventories import Inventories
from actors.site.orders import Order
from pxe_stack.reports import Reports

REPORT = b"sprout-inventory 1\nsystem.serial 7XK2\n## dmidecode\n# Handle\n"


def order(run):
    body = {"task": str(uuid4()), "kind": "hardware-report", "epoch": 1, "deadline_s": 9}
    return Order.parse({**body, "machine": str(uuid4()), "run": run and str(run), "bmc": None})


def collected(folder, run):
    return Inventories(Reports(folder)).perform(order(run), Deadline.after(5), None)


def kept(folder, content):
    run, reports = uuid4(), Reports(folder)
    reports.keep(run, 0, content)
    assert reports.seal(run, hashlib.sha256(content).hexdigest())
    return run


def test_the_facts_of_a_report_are_a_result_and_its_words_are_evidence(tmp_path):
    run = kept(tmp_path, REPORT)

    small, apart = findings.divided("hardware-report", collected(tmp_path, run))

    assert small["facts"]["system"]["serial"] == "7XK2"
    assert small["sha256"] == hashlib.sha256(REPORT).hexdigest()
    assert b"# Handle" in apart["hardware-report-record.json"]


@pytest.mark.parametrize("run", [None, uuid4()])
def test_a_report_that_is_not_here_may_come_by_another_agent(tmp_path, run):
    with pytest.raises(Unreachable, match="no report"):
        collected(tmp_path, run)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"<html>", b"sprout-inventory 2\n"])
def test_what_is_no_report_is_refused_for_good(tmp_path, content):
    with pytest.raises(Refused, match="no inventory"):
        collected(tmp_path, kept(tmp_path, content))
