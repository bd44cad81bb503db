"""What machines report of themselves: in parts, by whoever may be anybody, whole or not at all."""

import hashlib
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from models import bootplan
from models.bootplan import Access, Action
from models.observations import Seen
from pxe_stack import http
from pxe_stack.forms import LARGEST
from pxe_stack.reports import MOST_PARTS, MOST_RUNS, Reports
from pxe_stack.site_directory import Stores
from tests.pxe_stack import make

PLAN = replace(make.plan(), action=Action.INVENTORY)
MINE = {"REMOTE_ADDR": make.ADDRESS}
STRANGER = {"REMOTE_ADDR": "10.77.0.66"}
PARTS = (b"sprout-inventory 1\n", b"disk.0.serial S1\n")
WHOLE = b"".join(PARTS)


@pytest.fixture
def reports(tmp_path):
    return Reports(tmp_path / "reports")


@pytest.fixture
def stores(tmp_path):
    opened = Stores(tmp_path, make.AGENT)
    opened.plans.put(PLAN)
    yield opened
    opened.close()


@pytest.fixture
def ask(stores, reports):
    return http.app(make.sources(stores, reports=reports)).test_client()


def path(name, plan=PLAN, access=Access.CALLBACK):
    return bootplan.url(plan, make.KEY, access, name).removeprefix(make.URL)


def told(content=WHOLE):
    return {"sha256": hashlib.sha256(content).hexdigest()}


def send(ask, *parts, environ=MINE, plan=PLAN):
    return [
        ask.post(path(f"report-{number}", plan), data=part, environ_base=environ).status_code
        for number, part in enumerate(parts)
    ]


def kinds(stores):
    return [row.kind for _, row in stores.journal.pending(0, 100)]


def test_a_report_in_parts_is_whole_when_the_machine_says_so(ask, stores, reports):
    statuses = send(ask, *PARTS)
    before = reports.read(PLAN.run)
    answer = ask.post(path("inventoried"), data=told(), environ_base=MINE)

    assert (statuses, answer.status_code) == ([200, 200], 200)
    assert (before, reports.read(PLAN.run)) == (None, WHOLE)
    assert kinds(stores) == [Seen.INVENTORIED]


def test_what_is_said_twice_is_heard_twice_and_kept_once(ask, stores, reports):
    send(ask, b"something else\n", *PARTS[1:])
    send(ask, *PARTS)
    for _ in range(2):
        assert ask.post(path("inventoried"), data=told(), environ_base=MINE).status_code == 200

    assert reports.read(PLAN.run) == WHOLE


def test_what_a_boot_left_that_was_cut_short_spoils_no_later_report(ask, stores, reports):
    """A kernel that panics starts the machine again, and the same run with it."""
    send(ask, b"sprout-inventory 1\n", b"of the first boot\n", b"and more of it\n")
    send(ask, *PARTS)
    data = told() | {"parts": str(len(PARTS))}

    assert ask.post(path("inventoried"), data=data, environ_base=MINE).status_code == 200
    assert reports.read(PLAN.run) == WHOLE


@pytest.mark.parametrize("data", [told(b"other"), {}, {"sha256": ""}, told(WHOLE + b"\n")])
def test_parts_that_are_not_the_report_are_no_inventory(ask, stores, reports, data):
    send(ask, *PARTS)

    answer = ask.post(path("inventoried"), data=data, environ_base=MINE)

    assert (answer.status_code, kinds(stores), reports.read(PLAN.run)) == (409, [], None)


def test_after_the_report_is_whole_no_part_changes_it(ask, stores, reports):
    send(ask, *PARTS)
    ask.post(path("inventoried"), data=told(), environ_base=MINE)

    send(ask, b"late\n")
    again = ask.post(path("inventoried"), data=told(b"late\n"), environ_base=MINE)

    assert again.status_code == 409
    assert reports.read(PLAN.run) == WHOLE


def test_a_strangers_part_is_answered_and_not_kept(ask, stores, tmp_path):
    other = replace(PLAN, run=UUID(int=9))
    wrong = path("report-0").replace(bootplan.token(make.KEY, PLAN.run, Access.CALLBACK), "0" * 32)

    assert send(ask, b"x", environ=STRANGER) == [200]
    assert send(ask, b"x", plan=other) == [200]
    assert ask.post(wrong, data=b"x", environ_base=MINE).status_code == 200

    assert not (tmp_path / "reports").exists()
    assert set(kinds(stores)) == {Seen.STRANGE_REQUEST}


@pytest.mark.parametrize("action", [Action.INSTALL, Action.WIPE])
def test_a_run_for_something_else_takes_no_part(ask, stores, tmp_path, action):
    stores.plans.put(replace(PLAN, action=action, version=9))

    send(ask, b"x")

    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("name", "status"),
    [("report-", 404), ("report-x", 404), ("report-٣", 404), ("report-../../x", 404),
     (f"report-{MOST_PARTS}", 413), ("report-" + "9" * 60, 413)],
)  # fmt: skip
def test_a_name_that_is_no_part_is_refused(ask, tmp_path, name, status):
    assert ask.post(path(name), data=b"x", environ_base=MINE).status_code == status
    assert not (tmp_path / "reports").exists()


def test_a_part_is_no_larger_than_a_form(reports):
    assert not reports.keep(uuid4(), 0, bytes(LARGEST + 1))
    assert reports.keep(uuid4(), 0, bytes(LARGEST))


def test_a_site_keeps_the_reports_that_came_last(reports, tmp_path):
    for number in range(MOST_RUNS + 5):
        run = UUID(int=number)
        reports.keep(run, 0, b"x")
        reports.seal(run, told(b"x")["sha256"])

    assert len(list((tmp_path / "reports").iterdir())) <= MOST_RUNS
    assert reports.read(run) == b"x"


def test_a_disk_that_is_full_is_told_so_that_the_machine_tries_again(stores, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    full = Reports(tmp_path / "file")  # no folder can be made beneath a file
    client = http.app(make.sources(stores, reports=full)).test_client()

    assert client.post(path("report-0"), data=b"x", environ_base=MINE).status_code == 503
