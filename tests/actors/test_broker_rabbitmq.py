"""What RabbitMQ is told, and what it does when we cannot."""

import os
import signal

import pika
import pytest

from actors import broker, broker_rabbitmq, broker_rabbitmq_publisher
from actors.broker_contract import DEAD_LETTERS, Reason, Unconfirmed
from actors.broker_rabbitmq import QUEUE_ARGUMENTS
from tests.actors.lane import PATIENCE_S, until

pytestmark = pytest.mark.services


@pytest.fixture
def channel(rabbitmq_lane):
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_lane.url)) as connection:
        yield connection.channel()


def test_queues_have_exactly_the_arguments_that_make_them_safe(rabbitmq_lane, channel):
    # RabbitMQ refuses to declare a queue again with other arguments.
    channel.queue_declare(rabbitmq_lane.queue, durable=True, arguments=dict(QUEUE_ARGUMENTS))
    channel.queue_declare(DEAD_LETTERS, durable=True, arguments={"x-queue-type": "quorum"})

    assert QUEUE_ARGUMENTS["x-queue-type"] == "quorum"


def test_no_queue_of_dramatiqs_own_is_made(rabbitmq_lane, channel):
    with rabbitmq_lane.hear() as heard:
        rabbitmq_lane.send(rabbitmq_lane.message("x"))
        heard.get(timeout=PATIENCE_S)

    for suffix in (".DQ", ".XQ"):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            channel.connection.channel().queue_declare(rabbitmq_lane.queue + suffix, passive=True)


def test_a_dead_letter_that_we_cannot_write_is_moved_by_rabbitmq(rabbitmq_lane, monkeypatch):
    def fail(_letters):
        raise Unconfirmed("out of reach")

    rabbitmq_lane.send(b"not JSON")
    made = rabbitmq_lane.broker(print)
    monkeypatch.setattr(made.publisher, "send", fail)
    consumer = made.consume(rabbitmq_lane.queue, prefetch=2, timeout=100)

    until(lambda: next(consumer) or rabbitmq_lane.dead())
    consumer.close()

    assert rabbitmq_lane.last_dead().reason == Reason.REJECTED


def test_messages_are_persistent_and_say_who_sent_them(rabbitmq_lane, channel):
    rabbitmq_lane.send(rabbitmq_lane.message())

    _, properties, _ = channel.basic_get(rabbitmq_lane.queue)

    assert (properties.delivery_mode, properties.user_id) == (2, "guest")


def test_a_batch_is_confirmed_as_a_whole(rabbitmq_lane, channel):
    rabbitmq_lane.send(*(rabbitmq_lane.message(n) for n in range(1000)))

    declared = channel.queue_declare(rabbitmq_lane.queue, passive=True)
    assert declared.method.message_count == 1000


def test_a_queue_that_is_taken_away_is_made_again(rabbitmq_lane, channel):
    with rabbitmq_lane.hear() as heard:
        until(lambda: _consumers(channel, rabbitmq_lane.queue) == 1)
        channel.queue_delete(rabbitmq_lane.queue)
        until(lambda: _consumers(channel.connection.channel(), rabbitmq_lane.queue) == 1)

        rabbitmq_lane.send(rabbitmq_lane.message("anew"))

        assert heard.get(timeout=PATIENCE_S) == "anew"


@pytest.fixture
def hung(rabbitmq_server):
    """Makes the node hang until the end of the test: its sockets stay, and say nothing."""
    yield lambda: os.killpg(rabbitmq_server.node.pid, signal.SIGSTOP)
    os.killpg(rabbitmq_server.node.pid, signal.SIGCONT)


def test_a_node_that_hangs_is_a_failure_in_bounded_time(rabbitmq_lane, hung, monkeypatch):
    rabbitmq_lane.send(rabbitmq_lane.message())

    with rabbitmq_lane.consuming() as consumer:
        hung()
        monkeypatch.setattr(broker_rabbitmq, "ANSWER_TIMEOUT_S", 0.5)
        monkeypatch.setattr(broker_rabbitmq_publisher, "CONFIRM_TIMEOUT_S", 0.5)
        monkeypatch.setattr(broker_rabbitmq_publisher, "CONNECT_TIMEOUT_S", 0.5)
        consumer.close()
    with pytest.raises(Unconfirmed):
        rabbitmq_lane.send(rabbitmq_lane.message())
    with pytest.raises(Unconfirmed):
        broker.declare(rabbitmq_lane.url, [rabbitmq_lane.queue])


def _consumers(channel, queue):
    try:
        return channel.queue_declare(queue, passive=True).method.consumer_count
    except pika.exceptions.ChannelClosedByBroker:
        return 0
