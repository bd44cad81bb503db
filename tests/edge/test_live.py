"""Live streams: passed on by a real edge to a real events process, heard by real callers."""

import json
import signal
import socket
from datetime import timedelta
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from models.commands import moves, tokens
from models.database import borrowed, database
from models.roles import Role
from tests.conftest import copied
from tests.edge import live as lab
from tests.edge.conftest import TOKEN, serving, variables
from tests.edge.live import Stream, happened, hearing, last
from tests.models import make
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

NUMBERS = count(10)


@pytest.fixture(scope="module")
def settings(postgres, migrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with copied(postgres, migrated) as url:
        yield variables(url, folder)


@pytest.fixture(scope="module")
def live(settings):
    """One process for all of these: each has machines of its own."""
    with hearing(settings, Path(settings["HOME"])) as running:
        yield running


@pytest.fixture(scope="module")
def edge(settings, live):
    with serving(settings, live.log.parent) as running:
        yield running


@pytest.fixture(scope="module")
def site(settings):
    with borrowed():
        return make.site()


@pytest.fixture
def fresh(site):
    """Makes machines, with the database at hand."""
    with borrowed():
        yield machine_maker(site)


def machine_maker(site):
    def fresh(where=site):
        number = next(NUMBERS)
        nic = make.interface(f"52:54:00:00:{number // 256:02x}:{number % 256:02x}")
        return make.machine(where, f"node-{number}", [nic])

    return fresh


# --- hints, for pages ---


def test_a_page_is_told_which_machine_changed_and_that_the_fleet_did(edge, fresh):
    machine = fresh()
    with Stream(edge.url) as page:
        page.until("id")
        happened(machine)

        told = page.until(event="fleet")

    assert {"event": f"machine-{machine}", "data": str(machine)} in told


def test_the_answer_bears_what_every_answer_bears(edge):
    with Stream(edge.url, **{"X-Request-Id": "stream-1"}) as page:
        headers = page.answer.headers

    assert page.answer.status_code == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    assert (headers["X-Request-Id"], headers["Cache-Control"]) == ("stream-1", "no-store")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    until(lambda: "stream-1" in edge.log.read_text())


def test_a_page_that_resumes_is_told_what_changed_meanwhile(edge, fresh):
    machine, other = fresh(), fresh()
    happened(machine)
    after = last()
    happened(other)

    with Stream(edge.url, **{"Last-Event-ID": str(after)}) as page:
        told = page.until(event="fleet")

    assert f"machine-{other}" in {block.get("event") for block in told}
    assert f"machine-{machine}" not in {block.get("event") for block in told}


@pytest.mark.parametrize("given", ["9" * 18, "9" * 400, "-1", "seven", "٣", "0x10", ""])
def test_a_page_that_heard_what_never_was_reads_all_again_or_begins(edge, fresh, given):
    with Stream(edge.url, **{"Last-Event-ID": given.encode()}) as page:
        told = page.until("id")

    assert page.answer.status_code == 200
    assert (told[-1].get("event") == "reset") == (given == "9" * 18)


def test_a_caller_who_leaves_is_forgotten_at_once(edge, live):
    live.wait_for(lambda: live.figures["open"] == 0)
    before = lab.descriptors(live.started.pid)
    for _ in range(5):
        with Stream(edge.url) as page:
            page.next()

    live.wait_for(lambda: not live.figures["open"])
    live.wait_for(lambda: lab.descriptors(live.started.pid) <= before)


# --- events, for programs ---


def test_a_program_is_told_what_happened_and_resumes_where_it_stopped(edge, fresh):
    machine = fresh()
    with Stream(edge.url, "/v1/events?after=-1") as first:
        first.until("id")
        happened(machine)
        happened(machine, kind="workflow-begun")
        told = [first.next(), first.next()]

    with Stream(edge.url, "/v1/events", **{"Last-Event-ID": told[0]["id"]}) as second:
        again = second.until("id")[-1]

    types = [json.loads(block["data"])["type"] for block in told]
    assert types == ["sprout.machine.commission", "sprout.machine.workflow-begun"]
    assert again == told[1]


def test_nothing_is_lost_or_said_twice_between_what_was_and_what_comes(edge, fresh):
    machine = fresh()
    happened(machine, times=150)
    with Stream(edge.url, f"/v1/events?machineId={machine}") as program:
        for _ in range(20):
            happened(machine)
            happened(machine, kind="noise")

        told = [block for block in program.until(id=str(last())) if "data" in block]

    sequence = [int(json.loads(block["data"])["sequence"]) for block in told]
    assert sequence == list(range(1, 191))


def test_a_program_hears_of_one_machine_or_kind_if_it_asks_so(edge, fresh):
    machine, other = fresh(), fresh()
    paths = f"/v1/events?after=-1&machineId={machine}", "/v1/events?after=-1&kind=wanted"
    with Stream(edge.url, paths[0]) as of_machine, Stream(edge.url, paths[1]) as of_kind:
        of_machine.until("id")
        of_kind.until("id")
        happened(other)
        happened(other, kind="wanted")
        happened(machine)

        told = [json.loads(each.next()["data"]) for each in (of_machine, of_kind)]

    assert [told[0]["id"], told[1]["id"]] == [f"{machine}/1", f"{other}/2"]


def test_what_an_open_transaction_holds_back_is_told_when_it_ends(edge, fresh, settings):
    machine = fresh()
    with Stream(edge.url, "/v1/events?after=-1") as program:
        program.until("id")
        with lab.transaction(settings["SPROUT_DATABASE_URL"]):
            happened(machine)

        told = json.loads(program.next()["data"])

    assert told["id"] == f"{machine}/1"


def test_a_gap_is_told_and_not_passed_over(edge, fresh):
    happened(fresh(), times=3)
    newest = last()
    database.execute_sql("DELETE FROM events WHERE id < %s", (newest,))

    with Stream(edge.url, "/v1/events", **{"Last-Event-ID": "1"}) as program:
        told = program.until(event="reset")[-1]
    with Stream(edge.url, **{"Last-Event-ID": "1"}) as page:
        read_again = page.until(event="everything")
    with Stream(edge.url, "/v1/events", **{"Last-Event-ID": str(newest - 1)}) as program:
        went_on = program.until(id=str(newest))

    assert (told["id"], json.loads(told["data"])) == (str(newest), {"newest": newest})
    assert read_again[-2]["event"] == "reset"
    assert "reset" not in {block.get("event") for block in went_on}


def test_an_unknown_machine_is_refused_before_anything_is_streamed(edge):
    with Stream(edge.url, "/v1/events?machineId=nobody") as program:
        assert program.answer.status_code == 404


# --- who may hear what ---


def bound_to(site):
    return tokens.create(
        make.ADA, name="wall", role=Role.VIEWER, sites=[site], life=timedelta(hours=1)
    )


def test_whoever_is_bound_to_a_site_hears_of_no_other(edge, fresh, site):
    own = make.site(slug="own-1")
    mine, foreign = fresh(own), fresh()
    _, token = bound_to(own)
    with (
        Stream(edge.url, token=token) as page,
        Stream(edge.url, "/v1/events?after=-1", token=token) as program,
        Stream(edge.url, token=token, **{"Last-Event-ID": str(last())}) as resumed,
    ):
        for each in (page, program, resumed):
            each.until("id")
        moves.announce(site)  # as discoveries do
        happened(foreign)
        with database.atomic():
            moves.announce(own)
            happened(mine)

        seen, heard = page.until(event="fleet"), json.loads(program.next()["data"])
        again = resumed.until(event="fleet")

    told = {block.get("event") for block in seen}, {block.get("event") for block in again}
    of_its_own = {f"machine-{own}", f"machine-{mine}", "fleet"}
    assert told == (of_its_own, of_its_own)
    assert heard["id"] == f"{mine}/1"


def test_nobody_in_particular_hears_nothing(edge, live):
    before = live.figures["opened"]
    with Stream(edge.url, token="") as stranger, Stream(edge.url, token="forged") as forger:
        assert {stranger.answer.status_code, forger.answer.status_code} == {401}
    assert live.figures["opened"] == before


def test_a_token_and_a_session_that_are_over_end_their_streams(edge, fresh, site):
    machine, (identifier, token) = fresh(), bound_to(site)
    browser = signed_in(edge)
    page = browser.get(f"{edge.url}/events/hints", stream=True, timeout=60)
    lines = page.iter_lines(chunk_size=1)
    assert next(lines) == b"retry: 2000"
    with Stream(edge.url, token=token) as program, Stream(edge.url) as other:
        program.next()
        database.execute_sql("UPDATE sessions SET expires_at = now()")
        tokens.revoke(make.ADA, identifier)

        last, words = program.rest()[-1], list(lines)
        happened(machine)

        assert last == {"retry": "2000", "event": "ended", "data": "expired"}
        assert b"data: expired" in words
        assert other.until(event=f"machine-{machine}")


def signed_in(edge):
    """A browser that came in by a one-time code."""
    browser = requests.Session()
    url = edge.post("/v1/sign-in-codes").json()["url"]
    page = browser.get(url, timeout=60).text
    fields = {
        name: page.partition(f'name="{name}" value="')[2].partition('"')[0]
        for name in ("code", "csrf_token")
    }
    browser.post(url.partition("?")[0], data=fields, timeout=60).raise_for_status()
    return browser


# --- bounds ---


def test_a_caller_who_does_not_read_is_dropped_and_the_others_are_not(edge, live, fresh):
    machine = fresh()
    live.wait_for(lambda: live.figures["open"] == 0)
    deaf = asking(edge, "/events/hints")
    with Stream(edge.url, "/v1/events?after=-1") as program:
        program.until("id")
        live.wait_for(lambda: live.figures["open"] == 2)
        for _ in range(3):
            # More than what the kernel and the process keep together.
            database.execute_sql(
                "SELECT pg_notify('sprout_events', gen_random_uuid()::text)"
                " FROM generate_series(1, 5000)"
            )
        live.wait_for(lambda: live.figures["ended"].get("too-slow") == 1)
        happened(machine)

        assert program.next()["id"] == str(last())
    deaf.close()


def test_a_program_that_reads_slowly_is_told_all_the_same(edge, fresh):
    machine = fresh()
    with Stream(edge.url, f"/v1/events?after=-1&machineId={machine}") as program:
        program.until("id")
        for _ in range(3):
            happened(machine, times=50, text="x" * 4000)

        told = program.until(id=str(last()))

    sequence = [int(json.loads(block["data"])["sequence"]) for block in told]
    assert sequence == list(range(1, 151))


def asking(edge, path):
    """A connection that asked, and reads nothing."""
    where = urlsplit(edge.url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((where.hostname, where.port))
    head = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", f"Authorization: Bearer {TOKEN}"]
    line.sendall("\r\n".join([*head, "Accept: text/event-stream", "", ""]).encode())
    return line


def test_a_caller_who_talks_all_the_time_is_dropped(edge, live):
    line = asking(edge, "/events/hints")
    line.recv(64)
    line.settimeout(60)
    with pytest.raises(OSError, match=r"reset|pipe"):
        talk(line)
    line.close()
    live.wait_for(lambda: live.figures["open"] == 0)


def talk(line):
    while True:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)


def test_one_that_hangs_costs_an_answer_that_says_so_and_nothing_more(edge, live):
    live.started.send_signal(signal.SIGSTOP)
    try:
        answer = edge.get("/events/hints")
    finally:
        live.started.send_signal(signal.SIGCONT)

    assert answer.status_code == 503
    with Stream(edge.url) as page:
        assert page.next() == {"retry": "2000"}


def test_pages_read_again_when_the_database_is_back(edge, fresh):
    machine = fresh()
    with Stream(edge.url) as page:
        page.until("id")
        database.execute_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
        )

        assert page.until(event="everything")
        happened(machine)
        assert page.until(event=f"machine-{machine}")


def test_hints_that_name_nothing_are_not_passed_on(edge, fresh):
    machine = fresh()
    with Stream(edge.url) as page:
        page.until("id")
        for hostile in ("", "x", "a\nevent: forged", "'; DROP TABLE", "ü" * 2000):
            database.execute_sql("SELECT pg_notify('sprout_events', %s)", (hostile,))
        happened(machine)

        told = page.until(event="fleet")

    assert {block.get("event") for block in told} == {f"machine-{machine}", "fleet"}


@pytest.mark.parametrize(
    "message",
    [b"{}", b"x", b'{"form": "hints"}', b"[]", b'{"form": "x", "head": "", "subject": ""}', b"go"],
)
def test_who_knocks_and_asks_for_nothing_sensible_is_hung_up_on(live, message):
    opened = live.figures["opened"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
        knocking.settimeout(60)
        knocking.connect(str(live.socket))
        knocking.send(message)

        assert knocking.recv(100) == b""
    assert live.figures["opened"] == opened


def test_an_edge_that_keeps_the_connection_after_all_leaves_it_unwritten(live):
    ask = lab.handover.Ask(head="HTTP/1.1", form=lab.handover.Form.HINTS, subject="a").encoded()
    ours, theirs = socket.socketpair()
    before = lab.descriptors(live.started.pid)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
            knocking.connect(str(live.socket))
            socket.send_fds(knocking, [ask], [theirs.fileno()])
            assert knocking.recv(100) == b"room"

    live.wait_for(lambda: lab.descriptors(live.started.pid) <= before)
    ours.settimeout(0)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    ours.close()
    theirs.close()
