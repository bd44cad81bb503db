"""What control and a site tell Prometheus, on loopback, by promtool's judgement."""

import re
import subprocess

import pytest
import requests

from actors import metrics
from actors.broker_contract import DEAD_LETTERS, Unconfirmed
from actors.metrics import Queues, Seen, Work
from actors.middleware import Counts
from config.settings import BadSettings, Settings
from models.commands import asks
from models.messages import CONTROL_QUEUE
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.actors.site_whole import Control, Site
from tests.models import make
from tests.services.process import free_ports


def linted(text):
    """What promtool says of metrics."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def values(text, name):
    """Labels → value of the samples called *name*."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def scraped(bind):
    return requests.get(f"http://{bind}/metrics", timeout=60).text


@pytest.fixture
def bind():
    (port,) = free_ports(1)
    return f"127.0.0.1:{port}"


@pytest.mark.services
@pytest.mark.parametrize("kind", ["rabbitmq", "postgres"])
def test_control_tells_what_waits_and_what_it_has_done(request, db, tmp_path, bind, kind):
    url = request.getfixturevalue("rabbitmq_server").url if kind == "rabbitmq" else db
    control = ControlProcess(tmp_path, db, url, SPROUT_CONTROL_METRICS_BIND=bind)
    control.start()
    try:
        asks.commission(make.ADA, make.Scene().machine)
        done = 'actor="advance",outcome="done"'
        until(lambda: values(scraped(bind), "sprout_actor_messages_total").get(done, 0) >= 1)
        text = scraped(bind)
    finally:
        control.end()

    assert linted(text) == (0, "")
    assert values(text, "sprout_broker_up") == {"": 1}
    waiting = values(text, "sprout_queue_messages")
    assert {f'queue="{CONTROL_QUEUE}"', f'queue="{DEAD_LETTERS}"'} <= set(waiting)
    assert values(text, "sprout_actor_busy_seconds_total")['actor="advance"'] > 0


@pytest.mark.services
def test_what_waits_is_counted_and_what_is_done_is_not(lane):
    lane.send(*(lane.message(str(n)) for n in range(3)))

    until(lambda: depth(lane) == 3)
    with lane.hear() as heard:
        for _ in range(3):
            heard.get(timeout=60)
    until(lambda: depth(lane) == 0)


def depth(lane):
    (waiting,) = [m for m in Queues(lane.url, [lane.queue]).collect() if "queue" in m.name]
    return next(s.value for s in waiting.samples if s.labels["queue"] == lane.queue)


@pytest.mark.services
def test_a_site_tells_what_its_processes_saw(tmp_path, rabbitmq_server, bind):
    control = Control(rabbitmq_server.url)
    site = Site(tmp_path / "site", control)
    site.start(SITE_METRICS_BIND=bind)
    try:
        until(lambda: answers(bind))
        for _ in range(3):
            requests.get(f"{site.url}/nothing/here", timeout=60)
        until(lambda: values(scraped(bind), "sprout_site_seen_total"))
        text = scraped(bind)
    finally:
        left = site.end()
        control.close()

    assert linted(text) == (0, "")
    assert left == []


def answers(bind):
    try:
        return scraped(bind)
    except requests.ConnectionError:
        return ""


def test_what_a_site_saw_is_told_by_kind_and_reason_and_bounded():
    many = {f"kind-{n:03} why": 1 for n in range(300)}
    read = {"dhcp-ignored not-ours": 7, "tftp-sent": 2}

    (few,), (all_of_them,) = Seen(lambda: read).collect(), Seen(lambda: many).collect()

    told = {tuple(s.labels.values()): s.value for s in few.samples}
    assert told == {("dhcp-ignored", "not-ours"): 7, ("tftp-sent", ""): 2}
    assert len(all_of_them.samples) == metrics.MOST_SEEN + 1
    assert sum(sample.value for sample in all_of_them.samples) == 300


def test_a_broker_that_is_away_leaves_the_rest(bind):
    names = [each.name for each in Queues(f"amqp://u:p@{bind}/", ["a"]).collect()]

    assert names == ["sprout_broker_up"]
    assert issubclass(Unconfirmed, metrics.QueueError)


def test_outcomes_are_told_apart():
    counts, message = Counts(), type("Message", (), {"actor_name": "advance"})()
    for exception in (None, ValueError()):
        counts.before_process_message(None, message)
        counts.after_process_message(None, message, exception=exception)
    counts.after_skip_message(None, message)

    done, _ = Work(counts).collect()

    assert {s.labels["outcome"]: s.value for s in done.samples} == {
        "done": 1,
        "failed": 1,
        "skipped": 1,
    }


def test_an_address_that_is_taken_ends_nothing(bind):
    metrics.serve(bind)

    metrics.serve(bind)

    assert scraped(bind) == ""


@pytest.mark.parametrize("bad", ["0.0.0.0:9101", "9101", "192.0.2.1:9101", "localhost"])
def test_metrics_are_served_on_loopback_alone(monkeypatch, bad):
    monkeypatch.setenv("SPROUT_CONTROL_METRICS_BIND", bad)

    with pytest.raises(BadSettings, match="SPROUT_CONTROL_METRICS_BIND"):
        Settings.load()
