"""The live stream's text, and the words of what was seen."""

import asyncio
import socket
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from edge.live import wording as live
from edge.live.handover import Ask, Form
from edge.live.streams import BACKLOG, Stream, prepared
from edge.live.wording import Scope, Why
from edge.wording import TONES, duration, percent, sentence
from models.events import About, DomainEvent
from models.lifecycle import State
from models.observations import Seen

TOLD = {
    "address": "10.77.0.10",
    "by": "Ada",
    "bytes": 3,
    "file": "undionly.kpxe",
    "from": "available",
    "ms": 12.3,
    "name": "undionly.kpxe",
    "path": "debian-12/vmlinuz",
    "seconds": 0.5,
    "status": 200,
    "step": "netbooted",
    "to": "provisioning",
    "total": 9,
    "try": 1,
    "verb": "provision",
    "written": 3,
}


@pytest.mark.parametrize("kind", Seen)
def test_every_kind_has_a_sentence(kind):
    words = sentence(kind, TOLD)

    assert words[0].isupper()
    assert " " in words
    assert "{" not in words


@pytest.mark.parametrize("kind", Seen)
def test_no_kind_is_left_without_words_when_its_data_is_missing(kind):
    assert sentence(kind, {})


def test_a_sentence_leaves_out_what_was_not_told():
    assert sentence(Seen.TFTP_SENT, {"name": "a"}) == "Sent a"
    assert sentence(Seen.TFTP_SENT, {"name": "a", "bytes": 3}) == "Sent a, 3 bytes"
    assert sentence("newer-than-this-edge", {}) == "newer-than-this-edge"


@pytest.mark.parametrize("data", [{"seconds": "soon"}, {"name": None}, {"bytes": {"a": 1}}])
def test_data_of_a_strange_shape_breaks_no_sentence(data):
    assert sentence(Seen.TFTP_SENT, data)
    assert sentence(Seen.TASK_DONE, {"result": "none", "kind": "power-on"})


@pytest.mark.parametrize(
    ("told", "share"),
    [
        ({"written": "62914560", "total": "629145600"}, 10),
        ({"written": 7, "total": 5}, 100),
        ({"written": -1, "total": 5}, None),
        ({"written": 1, "total": 0}, None),
        ({"written": "much", "total": None}, None),
        ({}, None),
    ],
)
def test_progress_is_a_percentage_or_nothing(told, share):
    assert percent(told) == share
    assert sentence(Seen.INSTALL_PROGRESS, told)


def test_every_state_has_a_tone():
    assert set(TONES) == set(State)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.44, "0.4 s"), (12.4, "12 s"), (180, "3 min"), (7200, "2 h")]
)
def test_a_duration_is_said_as_a_person_reads_it(seconds, said):
    assert duration(seconds) == said


def test_hints_name_machines_once_and_say_that_the_fleet_changed():
    assert live.hints({"b", "a"}, fleet=True) == (
        b"event: machine-a\ndata: a\n\nevent: machine-b\ndata: b\n\nevent: fleet\ndata: changed\n\n"
    )
    assert live.hints([live.EVERYTHING]) == b"event: everything\ndata: *\n\n"
    assert live.hints([]) == b""


def test_that_the_fleet_changed_is_told_at_once_then_seldom_and_in_the_end():
    pace = live.Pace(every_s=1.0)
    said = [at for at in range(25) if pace.due(at / 10, changed=at < 18)]

    assert said == [0, 10, 20]
    assert not pace.owed


def test_what_is_owed_is_waited_for_no_longer_than_it_takes():
    pace = live.Pace(every_s=1.0)
    pace.due(5.0, changed=True)
    pace.due(5.4, changed=True)

    assert pace.owed
    assert pace.wait_s(5.4) == pytest.approx(0.6)
    assert pace.wait_s(9.0) == 0


SITE, MACHINE, OTHER = uuid4(), uuid4(), uuid4()


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        (Scope(), True),
        (Scope(sites=frozenset({SITE}), machine=MACHINE, site=SITE, kind="phase"), True),
        (Scope(sites=frozenset()), False),
        (Scope(sites=frozenset({OTHER})), False),
        (Scope(site=OTHER), False),
        (Scope(machine=OTHER), False),
        (Scope(kind="commission"), False),
    ],
)
def test_an_event_is_told_to_whoever_may_hear_it_and_wants_to(scope, wanted):
    assert scope.wants(event()) == wanted


def test_a_discovery_is_no_machine_of_the_same_id():
    found = event(about=About.DISCOVERY)

    assert not Scope(machine=MACHINE).wants(found)
    assert Scope(site=SITE).wants(found)


def event(**more):
    given = {"id": 7, "subject_id": MACHINE, "subject": "node-01", "site": "ams-1", "seq": 1}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return DomainEvent(**given | {"kind": "phase", "at": at, "site_id": SITE} | more)


def test_an_event_is_one_block_whatever_its_data_holds():
    text = live.events([event(data={"reason": "a\n\nevent: forged\r\ndata: \u2028x"})])

    assert text.startswith(b"id: 7\ndata: {")
    assert text.count(b"\n") == 3
    assert b"\r" not in text


def test_an_ask_is_read_as_it_was_written():
    ask = Ask(head="HTTP/1.1 200 OK\r\n", form=Form.EVENTS, subject="ada", sites=(), after=0)

    assert Ask.decoded(ask.encoded()) == ask


ASK_OF_NO_SITE = b'{"form": "hints", "head": "", "subject": "a", "sites": ["ams-1"]}'


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"{}",
        b'{"form": "all"}',
        b'{"form": "hints", "more": 1}',
        b"\xff",
        ASK_OF_NO_SITE,
        ASK_OF_NO_SITE.replace(b'"ams-1"', b"7"),
    ],
)
def test_what_is_no_ask_is_refused(message):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Ask.decoded(message)


def test_a_caller_who_stalls_while_he_is_told_what_he_missed_is_ended():
    async def stalls(ours):
        ended = asyncio.get_running_loop().create_future()
        ask = Ask(head="", form=Form.EVENTS, subject="ada")
        stream = Stream(ask, Scope(), lambda gone: ended.set_result(gone.why))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, prepared(ours))
        stream.say(b"x" * (1 << 20))
        assert not stream.takes(b"x" * BACKLOG)
        await stream.fluent(0.05)
        return stream.open, await ended

    ours, theirs = socket.socketpair()
    with theirs:
        assert asyncio.run(stalls(ours)) == (False, Why.TOO_SLOW)
