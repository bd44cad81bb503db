"""Reading a message: whatever the bytes, the answer is a message or a reason."""

import json
from types import SimpleNamespace

import dramatiq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.broker_contract import Reason, Unworkable, blame, identity, printable, read
from models.messages import LIMIT, Actor, encoded

ACTORS = {"advance": SimpleNamespace(queue_name="q.1"), "other": SimpleNamespace(queue_name="r.1")}
FIELDS = json.loads(encoded(Actor.ADVANCE, "q.1", {"id": 1}, now=1.0, expires_in_s=2.0))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_what_the_domain_encodes_can_be_read():
    message = read(json.dumps(FIELDS).encode(), "q.1", ACTORS)

    assert (message.actor_name, message.kwargs) == ("advance", {"id": 1})
    assert message.options == {"expires_at": 3000}


@given(st.binary(max_size=200))
def test_bytes_are_a_message_or_unworkable(body):
    with pytest.raises(Unworkable):
        read(body, "q.1", ACTORS)


@given(st.sampled_from(sorted(FIELDS)), json_values)
def test_a_field_of_any_value_is_read_or_unworkable(name, value):
    body = json.dumps(FIELDS | {name: value}).encode()

    try:
        message = read(body, "q.1", ACTORS)
    except Unworkable as exc:
        said = exc.detail
    else:
        said = message.message_id
    assert said.isprintable()
    assert identity(body).isprintable()


@given(st.dictionaries(st.text() | st.sampled_from(["eta", "expires_at", "throws"]), json_values))
def test_options_are_known_milliseconds_or_dropped_or_unworkable(options):
    body = json.dumps(FIELDS | {"options": options}).encode()

    try:
        kept = read(body, "q.1", ACTORS).options
    except Unworkable:
        return
    assert set(kept) <= {"expires_at", "time_limit"}
    assert all(type(value) is int and value > 0 for value in kept.values())


def test_an_actor_does_not_answer_on_another_queue():
    body = json.dumps(FIELDS | {"actor_name": "other"}).encode()

    with pytest.raises(Unworkable) as caught:
        read(body, "q.1", ACTORS)

    assert caught.value.reason is Reason.UNKNOWN_ACTOR


def test_a_message_over_the_limit_is_not_parsed():
    with pytest.raises(Unworkable) as caught:
        read(b"[" * (LIMIT + 1), "q.1", ACTORS)

    assert caught.value.reason is Reason.OVERSIZE


def test_a_missing_field_is_named():
    body = json.dumps({name: value for name, value in FIELDS.items() if name != "args"}).encode()

    with pytest.raises(Unworkable, match="args"):
        read(body, "q.1", ACTORS)


def test_the_same_unreadable_body_has_the_same_identity():
    assert identity(b"junk") == identity(b"junk") != identity(b"other junk")


@pytest.mark.parametrize(
    ("exception", "reason"),
    [
        (RuntimeError("x"), Reason.REJECTED),
        (dramatiq.middleware.TimeLimitExceeded(), Reason.TIME_LIMIT),
        (dramatiq.ActorNotFound("x"), Reason.UNKNOWN_ACTOR),
        (Unworkable(Reason.EXPIRED, "x"), Reason.EXPIRED),
        (None, Reason.REJECTED),
    ],
    ids=repr,
)
def test_each_way_to_fail_has_a_reason(exception, reason):
    assert blame(exception).reason is reason


def test_printable_text_is_kept_and_the_rest_replaced():
    assert printable("naïve\x00\ud800\n") == "naïve\ufffd\ufffd\ufffd"
