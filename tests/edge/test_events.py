"""The live stream's text, the words of what was seen, and the threads that streams hold."""

from itertools import islice

import pytest
import requests

from edge import events
from edge.wording import TONES, duration, percent, sentence
from models.lifecycle import State
from models.observations import Seen
from tests.edge.conftest import TOKEN
from tests.services import process

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


def test_a_machine_that_changed_often_is_told_of_once():
    stream = events.Stream()
    for _ in range(3):
        stream.hint("a")

    assert stream.take(1) == {"a"}
    assert stream.take(0) == set()


def told(stream, count, **more):
    """The first *count* writings to a browser after the one that opens the stream."""
    return list(islice(events.lines(stream, **more), 1, count + 1))


def test_a_stream_tells_the_machine_and_the_fleet():
    stream = events.Stream()
    stream.hint("a")

    assert told(stream, 1) == [
        "event: machine-a\ndata: a\n\nevent: fleet\ndata: changed\n\n",
    ]


def test_lost_hints_are_told_to_every_page():
    stream = events.Stream()
    stream.hint(events.EVERYTHING)

    (text,) = told(stream, 1)

    assert "event: everything\n" in text
    assert "event: fleet\n" in text


def test_that_the_fleet_changed_is_told_seldom_but_in_the_end():
    stream = events.Stream()
    lines = events.lines(stream, fleet_every_s=0.2)
    early = []
    for _ in range(20):
        stream.hint("a")
        early += islice(lines, 1)

    last = next(lines)

    assert sum("fleet" in text for text in early) == 1
    assert last == "event: fleet\ndata: changed\n\n"


def test_a_stream_ends_when_its_browser_has_left():
    answers = iter([False, True])

    assert len(list(events.lines(events.Stream(), lambda: next(answers)))) == 1


@pytest.mark.services
def test_the_17th_stream_is_asked_to_come_again_and_others_are_still_answered(served):
    url, token = f"{served.url}/events", {"Authorization": f"Bearer {TOKEN}"}
    held = [
        requests.get(url, headers=token, stream=True, timeout=10) for _ in range(events.STREAMS)
    ]

    refused = served.get("/events")

    assert {answer.status_code for answer in held} == {200}
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert served.get("/").status_code == 200
    for answer in held:
        answer.close()


@pytest.mark.services
def test_a_stream_that_was_left_makes_room_for_another(served):
    url, token = f"{served.url}/events", {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(events.STREAMS):
        with requests.get(url, headers=token, stream=True, timeout=10) as answer:
            next(answer.iter_content(64))

    def opens():
        with requests.get(url, headers=token, stream=True, timeout=10) as answer:
            answer.raise_for_status()

    process.wait_until_ready(served.master, opens, served.log, seconds=10)
