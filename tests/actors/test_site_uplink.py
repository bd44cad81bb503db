import json
import threading
import time
from uuid import uuid4

import pytest

from actors.broker_contract import Unconfirmed
from actors.site import uplink as speech
from actors.site.leases import Leases
from actors.site.uplink import Uplink, Voice
from models.messages import LEASE_QUEUE, LIMIT, REPORT_QUEUE, Kind, opened
from models.observations import Observation, Seen, Source
from tests.actors.site_lab import KEY, SITE, Folder

AGENT = uuid4()


class Broker:
    """A publisher that keeps what it is given, and can be away."""

    def __init__(self):
        self.away = False
        self.sizes = []
        self.heard = []
        self.hurried = []
        self.arrived = threading.Condition()

    def publish(self, batch):
        if self.away:
            raise Unconfirmed("away")
        for queue, body in batch:
            self.sizes.append(len(body))
            envelope = opened(json.loads(body)["kwargs"]["message"], KEY)
            if queue != REPORT_QUEUE:
                assert queue == LEASE_QUEUE
                self.hurried.append((envelope.kind, envelope.body))
                continue
            with self.arrived:
                self.heard.append((envelope.kind, envelope.body, time.monotonic()))
                self.arrived.notify_all()

    def close(self):
        pass

    def bodies(self, kind):
        return [body for each, body, _ in self.heard if each is kind]

    def reports(self):
        return [r for body in self.bodies(Kind.OBSERVATIONS) for r in body["reports"]]

    def wait_for(self, ready):
        with self.arrived:
            assert self.arrived.wait_for(ready, 10), "nothing came"


@pytest.fixture
def site(tmp_path):
    folder = Folder(tmp_path)
    yield folder
    folder.close()


@pytest.fixture
def queue():
    return Broker()


@pytest.fixture
def uplink(site, queue):
    made = Uplink(
        Voice(site=SITE, agent=AGENT, key=KEY),
        site.journal,
        queue,
        Leases(),
        greeting=lambda: {"hostname": "here"},
        pulse=lambda: {"plan_digest": "d", "clock": 1.0},
    )
    made.greet()
    return made


def see(site, data=None, kind=Seen.INSTALLED):
    return site.journal.append(
        Observation(kind=kind, source=Source.HTTP, at=1.0, run=uuid4(), data=data or {})
    )


def test_it_registers_first_then_reports_then_beats(uplink, queue, site):
    see(site)

    uplink.turn()

    assert [kind for kind, _, _ in queue.heard] == [
        Kind.REGISTER,
        Kind.OBSERVATIONS,
        Kind.HEARTBEAT,
    ]


def test_what_was_reported_is_forgotten_and_not_sent_again(uplink, queue, site):
    see(site)

    uplink.turn()
    uplink.turn()

    assert len(queue.reports()) == 1
    assert site.journal.pending(0, 10) == ()


def test_reports_carry_the_incarnation_and_their_numbers_in_order(uplink, queue, site):
    numbers = [see(site) for _ in range(450)]

    uplink.turn()

    assert [report["seq"] for report in queue.reports()] == numbers
    incarnations = {body["incarnation"] for body in queue.bodies(Kind.OBSERVATIONS)}
    assert incarnations == {str(site.journal.incarnation)}


def test_while_the_broker_is_away_reports_wait_in_order(uplink, queue, site):
    uplink.turn()
    queue.away = True
    numbers = [see(site) for _ in range(3)]
    uplink.turn()

    queue.away = False
    uplink.turn()

    assert [report["seq"] for report in queue.reports()] == numbers


def test_it_registers_again_after_the_broker_was_away(uplink, queue, site):
    uplink.turn()
    queue.away = True
    see(site)
    uplink.turn()

    queue.away = False
    uplink.turn()

    assert len(queue.bodies(Kind.REGISTER)) == 2


def test_it_registers_again_when_the_agent_hears_control_again(uplink, queue):
    uplink.turn()

    uplink.greet()
    uplink.turn()

    assert len(queue.bodies(Kind.REGISTER)) == 2


def test_it_does_not_register_twice_while_control_has_not_answered(uplink, queue):
    uplink.turn()

    uplink.meet()
    uplink.turn()
    assert len(queue.bodies(Kind.REGISTER)) == 1
    uplink.heard()
    uplink.meet()
    uplink.turn()

    assert len(queue.bodies(Kind.REGISTER)) == 2


def test_every_message_stays_under_the_limit(uplink, queue, site):
    for _ in range(5):
        see(site, {"key": '"é' * 20_000})

    uplink.turn()

    assert len(queue.reports()) == 5
    assert max(queue.sizes) < LIMIT


def test_a_row_too_large_for_any_message_is_cut_and_stops_nothing(uplink, queue, site):
    see(site, {"task": "t1", "key": "x" * 300_000})
    see(site)

    uplink.turn()

    cut, whole = queue.reports()
    assert (cut["data"]["cut"], cut["data"]["task"]) == (True, "t1")
    assert whole["data"] == {}


@pytest.fixture
def running(uplink, site):
    stop = threading.Event()
    thread = threading.Thread(target=uplink.run, args=(site.path, stop))
    thread.start()
    yield
    stop.set()
    uplink.greet()  # which has it look, and see
    thread.join()


def test_a_callback_is_published_when_it_is_written_and_not_at_the_next_look(
    monkeypatch, request, queue, site
):
    monkeypatch.setattr(speech, "LOOK_S", 3600.0)
    request.getfixturevalue("running")
    queue.wait_for(lambda: queue.bodies(Kind.HEARTBEAT))

    for count in range(1, 21):
        see(site)
        queue.wait_for(lambda count=count: len(queue.reports()) == count)


def test_the_bell_is_for_the_owner_alone(running, queue, site):
    queue.wait_for(lambda: queue.bodies(Kind.HEARTBEAT))

    assert (site.path / "agent.sock").stat().st_mode & 0o077 == 0


def test_a_registration_that_is_not_answered_is_said_again_with_what_to_look_at(
    uplink, queue, monkeypatch
):
    said = []
    monkeypatch.setattr(speech.log, "warning", lambda _, **more: said.append(more), raising=False)
    monkeypatch.setattr(time, "monotonic", clock := Clock())
    uplink.turn()
    clock.now += 19
    uplink.turn()
    assert len(queue.bodies(Kind.REGISTER)) == 1

    clock.now += 2
    uplink.turn()

    assert len(queue.bodies(Kind.REGISTER)) == 2
    assert "sprout sites list" in said[0]["hint"]


def test_a_registration_that_was_answered_is_not_said_again(uplink, queue, monkeypatch):
    monkeypatch.setattr(time, "monotonic", clock := Clock())
    uplink.turn()

    uplink.heard()
    clock.now += 1000
    uplink.turn()

    assert len(queue.bodies(Kind.REGISTER)) == 1


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_the_heart_beats_while_a_large_spool_is_sent(uplink, queue, site, monkeypatch):
    monkeypatch.setattr(time, "monotonic", clock := Clock())
    for _ in range(1000):
        see(site, kind=Seen.DHCP_OFFERED)
    publish = queue.publish

    def slowly(batch):
        publish(batch)
        clock.now += 6

    queue.publish = slowly
    uplink.turn()

    kinds = [kind for kind, _, _ in queue.heard]
    assert kinds.count(Kind.OBSERVATIONS) == 5
    assert kinds.count(Kind.HEARTBEAT) > 1
    told = [body["spool"] for body in queue.bodies(Kind.HEARTBEAT)]
    assert (told[0]["pending"], told[-1]["pending"], told[-1]["rows"]) == (200, 0, 1000)


def test_what_was_sent_is_told_with_every_heartbeat_since_the_registration(uplink, queue, site):
    numbers = [see(site) for _ in range(3)]

    uplink.turn()

    [body] = queue.bodies(Kind.HEARTBEAT)
    assert body["spool"] == {
        "incarnation": str(site.journal.incarnation),
        "rows": 3,
        "pending": 0,
        "first": numbers[0],
        "last": numbers[-1],
    }


def test_the_end_of_a_task_goes_past_what_waits_and_again_in_its_turn(uplink, queue, site):
    before = [see(site) for _ in range(450)]
    done = see(site, kind=Seen.TASK_DONE)

    uplink.turn()
    uplink.turn()

    [(kind, body)] = queue.hurried
    assert (kind, [row["seq"] for row in body["reports"]]) == (Kind.OBSERVATIONS, [done])
    assert [row["seq"] for row in queue.reports()] == [*before, done]


def test_the_end_of_a_task_that_the_broker_did_not_take_goes_when_it_does(uplink, queue, site):
    uplink.turn()
    queue.away = True
    done = see(site, kind=Seen.TASK_DONE)
    uplink.turn()
    queue.away = False

    uplink.turn()

    assert [row["seq"] for _, body in queue.hurried for row in body["reports"]] == [done]


def test_rows_of_an_earlier_life_are_sent_as_such_and_told_of(uplink, queue, site, monkeypatch):
    monkeypatch.setattr(speech, "HEARTBEAT_S", 0.0)
    first = str(site.journal.incarnation)
    waited = see(site)
    site.journal.begin()
    new = see(site)

    uplink.turn()

    now = str(site.journal.incarnation)
    told = [(b["incarnation"], b["reports"][0]["seq"]) for b in queue.bodies(Kind.OBSERVATIONS)]
    assert told == [(first, waited), (now, new)]
    beat = queue.bodies(Kind.HEARTBEAT)[-1]
    assert (beat["spool"]["incarnation"], beat["spool"]["rows"]) == (now, 1)
    assert beat["spool"]["earlier"] == [
        {"incarnation": first, "first": waited, "last": waited, "rows": 1}
    ]
