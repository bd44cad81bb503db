from types import SimpleNamespace

import pytest
import structlog
from dramatiq.middleware import SkipMessage

from actors.middleware import (
    Expired,
    Expiry,
    FailureIsFinal,
    MessageContext,
    StillOurs,
    for_workers,
)

NOW_S = 1000.0


class Message(SimpleNamespace):
    failed = False

    def fail(self):
        self.failed = True


def named(kwargs):
    return Message(message_id="m", actor_name="a", queue_name="q", kwargs=kwargs)


def test_a_message_is_expired_from_its_very_millisecond():
    message = Message(options={"expires_at": 1_000_000})

    with pytest.raises(Expired) as caught:
        Expiry(clock=lambda: NOW_S).before_process_message(None, message)

    assert message.failed
    assert caught.value.reason == "expired"


@pytest.mark.parametrize("options", [{}, {"expires_at": 1_000_001}])
def test_a_message_that_is_still_wanted_passes(options):
    message = Message(options=options)

    Expiry(clock=lambda: NOW_S).before_process_message(None, message)

    assert not message.failed


@pytest.mark.parametrize(("exception", "failed"), [(None, False), (ValueError(), True)])
def test_a_message_fails_with_its_actor(exception, failed):
    message = Message()

    FailureIsFinal().after_process_message(None, message, exception=exception)

    assert message.failed is failed


@pytest.mark.parametrize(
    "kwargs",
    [
        {"request_id": "ticket-1"},
        {"message": {"envelope": {"request_id": "ticket-1"}, "signature": "s"}},
    ],
)
def test_log_lines_of_an_actor_carry_the_id_of_the_request_that_it_came_of(kwargs):
    context = MessageContext()

    context.before_process_message(None, named(kwargs))
    during = structlog.contextvars.get_contextvars()
    context.after_process_message(None, Message())

    assert during["request_id"] == "ticket-1"
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"request_id": ""},
        {"request_id": 7},
        {"request_id": "a\nb"},
        {"request_id": "x" * 65},
        {"message": "no dictionary"},
        {"message": {"envelope": ["request_id"]}},
        {"message": {"envelope": {"request_id": {"a": 1}}}},
        None,
    ],
)
def test_what_is_no_request_id_reaches_no_log_line(kwargs):
    context = MessageContext()

    context.before_process_message(None, named(kwargs))
    during = structlog.contextvars.get_contextvars()
    context.after_process_message(None, Message())

    assert "request_id" not in during


def test_log_lines_of_an_actor_carry_its_message_and_no_later_ones_do():
    context = MessageContext()
    message = named({})

    context.before_process_message(None, message)
    during = structlog.contextvars.get_contextvars()
    context.after_process_message(None, message)

    assert during == {"message": "m", "actor": "a", "queue": "q"}
    assert structlog.contextvars.get_contextvars() == {}


def test_workers_neither_retry_nor_delay_nor_pipe():
    names = {type(each).__name__ for each in for_workers()}

    assert names == {
        "MessageContext",
        "StillOurs",
        "Expiry",
        "FailureIsFinal",
        "TimeLimit",
        "Counts",
    }


def test_a_site_judges_the_ages_of_messages_itself():
    names = {type(each).__name__ for each in for_workers(judges_ages=True)}

    assert names == {
        "MessageContext",
        "StillOurs",
        "CurrentMessage",
        "FailureIsFinal",
        "TimeLimit",
        "Counts",
    }


def test_a_message_whose_connection_ended_is_left_to_its_next_delivery():
    ours, lost = (Message(consumer=SimpleNamespace(closed=closed)) for closed in (False, True))

    StillOurs().before_process_message(None, ours)
    with pytest.raises(SkipMessage):
        StillOurs().before_process_message(None, lost)

    assert not lost.failed
