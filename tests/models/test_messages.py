import json
from uuid import uuid4

import dramatiq
import pytest

from models import messages
from models.errors import Denied, Invalid
from models.messages import Actor, Envelope, Kind

KEY = b"k" * 32
ENVELOPE = Envelope(
    kind=Kind.TASK,
    site=uuid4(),
    agent=uuid4(),
    run=uuid4(),
    epoch=3,
    request_id="r-1",
    body={"task": "x"},
)


def test_what_was_sealed_is_opened_with_the_same_key():
    assert messages.opened(messages.sealed(ENVELOPE, KEY), KEY) == ENVELOPE


def test_a_signature_of_another_key_is_denied():
    with pytest.raises(Denied):
        messages.opened(messages.sealed(ENVELOPE, KEY), b"other")


@pytest.mark.parametrize("field", ["site", "agent", "kind", "body", "epoch", "v"])
def test_a_changed_field_is_denied(field):
    message = messages.sealed(ENVELOPE, KEY)
    message["envelope"][field] = "changed"

    with pytest.raises(Denied):
        messages.opened(message, KEY)


@pytest.mark.parametrize(
    "message", [{}, {"envelope": 1}, {"envelope": []}, {"envelope": {"site": 1}}], ids=str
)
def test_what_is_no_envelope_is_refused(message):
    with pytest.raises((Invalid, Denied)):
        messages.opened(message, KEY)
    with pytest.raises(Invalid):
        messages.site_of(message)


def test_a_version_that_is_not_spoken_is_refused():
    future = messages.sealed(
        Envelope(kind=Kind.TASK, site=uuid4(), agent=uuid4(), v=messages.VERSION + 1), KEY
    )

    with pytest.raises(Invalid):
        messages.opened(future, KEY)


def test_dramatiq_reads_what_is_encoded():
    data = messages.encoded(
        Actor.ADVANCE, messages.CONTROL_QUEUE, {"workflow": "w"}, now=100.0, expires_in_s=5
    )

    read = dramatiq.Message.decode(data)

    assert (read.actor_name, read.queue_name) == ("advance", messages.CONTROL_QUEUE)
    assert read.kwargs == {"workflow": "w"}
    assert read.options == {"expires_at": 105_000}
    assert read.message_timestamp == 100_000


def test_a_message_over_the_limit_is_refused():
    with pytest.raises(Invalid):
        messages.encoded(Actor.ADVANCE, "q", {"x": "y" * messages.LIMIT}, now=0)


def test_encoding_is_plain_json():
    assert json.loads(messages.encoded(Actor.REPORT, "q", {"a": 1}, now=0))["kwargs"] == {"a": 1}
