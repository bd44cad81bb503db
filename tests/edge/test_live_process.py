"""The events process: how it starts, what it needs, what it takes, and how it ends."""

import signal
import subprocess
import sys
from datetime import timedelta

import psutil
import pytest

from models.commands import sessions, tokens
from models.roles import Role
from tests.edge.conftest import serving
from tests.edge.live import Stream, happened, hearing
from tests.models import make
from tests.services import process

pytestmark = pytest.mark.services


@pytest.fixture
def edge(settings, tmp_path, live):
    with serving(settings, tmp_path) as running:
        yield running


def test_streams_hold_no_thread_of_the_edge_and_outlive_it(settings, tmp_path, live, db):
    machine = make.machine(make.site())
    narrow = settings | {"SPROUT_EDGE_THREADS": "2"}
    with serving(narrow, tmp_path) as edge:
        held = [Stream(edge.url) for _ in range(20)]
        listed = edge.get("/v1/sites").status_code

    happened(machine)

    assert {each.answer.status_code for each in held} == {200}
    assert listed == 200
    assert all(each.until(event=f"machine-{machine}") for each in held)
    for each in held:
        each.answer.close()


def test_streams_are_limited_for_each_and_in_all(settings, tmp_path, db):
    few = {"SPROUT_EVENTS_STREAMS": "3", "SPROUT_EVENTS_STREAMS_EACH": "2"}
    given = {"name": "wall", "role": Role.VIEWER, "sites": None, "life": timedelta(hours=1)}
    _, token = tokens.create(make.ADA, **given)
    with (
        hearing(settings | few, tmp_path) as live,
        serving(settings, tmp_path) as edge,
    ):
        held = [Stream(edge.url), Stream(edge.url)]
        third = Stream(edge.url)
        held.append(Stream(edge.url, token=token))
        fourth = Stream(edge.url, token=token)
        for each in held:
            each.answer.close()
        live.wait_for(lambda: live.figures["open"] == 0)
        with Stream(edge.url) as again:
            assert again.answer.status_code == 200

    assert {each.answer.status_code for each in held} == {200}
    assert (third.answer.status_code, fourth.answer.status_code) == (503, 503)
    assert third.answer.headers["Retry-After"] == "5"
    assert "you have 2 streams" in third.answer.json()["detail"]
    assert "there are 3 streams" in fourth.answer.json()["detail"]


def test_it_says_goodbye_and_ends_at_once(edge, live):
    with Stream(edge.url) as page:
        page.next()
        live.started.send_signal(signal.SIGTERM)

        last = page.rest()[-1]
        status = live.started.wait(60)

    assert (last["event"], last["data"], status) == ("ended", "stopping", 0)
    assert 2000 <= int(last["retry"]) < 6000
    assert not live.socket.exists()


def test_without_it_a_page_is_asked_to_poll(edge, live):
    process.stop(live.started)

    answer = edge.get("/events/hints", Accept="text/event-stream")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["type"] == "/problems/no-stream"
    assert edge.get("/v1/sites").status_code == 200


def test_it_is_small_and_says_whether_it_serves(live, settings, tmp_path):
    def check():
        command = [sys.executable, "-m", "edge.live", "--check"]
        done = subprocess.run(
            command, env=settings, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    serves = check()
    size = psutil.Process(live.started.pid).memory_full_info().pss
    process.stop(live.started)

    assert serves == (0, "0 streams open\n")
    assert check() == (1, "")
    assert size < 60e6


def test_a_socket_in_a_deep_folder_is_found(settings, tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    far = settings | {"SPROUT_EVENTS_SOCKET": str(deep / "events.sock")}
    with (
        hearing(far, tmp_path) as live,
        serving(far, tmp_path) as edge,
        Stream(edge.url) as page,
    ):
        assert page.next() == {"retry": "2000"}
        assert live.figures["open"] == 1


def test_it_wants_to_know_the_database(settings, tmp_path):
    command = [sys.executable, "-m", "edge.live"]
    done = subprocess.run(
        command,
        env=settings | {"SPROUT_DATABASE_URL": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert "SPROUT_DATABASE_URL" in done.stderr


def test_sessions_and_tokens_that_are_over_are_not_alive(db):
    sessions.write("a" * 64, {}, life=timedelta(minutes=1))
    sessions.write("b" * 64, {}, life=timedelta(minutes=-1))
    given = {"name": "wall", "role": Role.VIEWER, "sites": None}
    good, over = (tokens.create(make.ADA, **given, life=timedelta(hours=1))[0] for _ in range(2))
    tokens.revoke(make.ADA, over)

    assert sessions.alive({"a" * 64, "b" * 64, "c" * 64}) == {"a" * 64}
    assert tokens.alive({good, over}) == {good}
