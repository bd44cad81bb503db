"""The relay against a real RabbitMQ: one queue that takes nothing does not stop the others."""

import signal

import pika
import pytest

from actors import broker
from actors.broker_contract import Stuck
from actors.broker_rabbitmq_publisher import RabbitPublisher
from actors.control import relay
from models import outbox
from models.database import borrowed
from models.messages import AGENT_QUEUES, CONTROL_QUEUE
from models.tables import Outbox
from tests.services import rabbitmq

pytestmark = pytest.mark.services

AGENT, OTHER = f"{AGENT_QUEUES}aa.bb.1", f"{AGENT_QUEUES}aa.cc.1"


@pytest.fixture
def node(tmp_path):
    with rabbitmq.running(tmp_path) as made:
        yield made


@pytest.fixture
def publisher(node):
    made = RabbitPublisher(node.url, confirm_s=3.0)
    yield made
    made.close()


def left_without_a_leader(node, queue):
    """Declare *queue* and kill the node before it has written who leads it."""
    broker.declare(node.url, [queue])
    node.stop(signal.SIGKILL)
    node.start()


def promised(*queues):
    with borrowed():
        for queue in queues:
            outbox.promise(queue, b"{}")


def lying_in(node, queue):
    with pika.BlockingConnection(pika.URLParameters(node.url)) as connection:
        return connection.channel().queue_declare(queue, passive=True).method.message_count


def test_an_agents_queue_that_lost_its_leader_is_made_anew_and_the_others_served(
    db, node, publisher
):
    broker.declare(node.url, [CONTROL_QUEUE, OTHER])
    node.stop(signal.SIGTERM)  # so that these have written who leads them
    node.start()
    left_without_a_leader(node, AGENT)
    promised(OTHER, AGENT, CONTROL_QUEUE)

    relay.drain(node.url, publisher)

    with borrowed():
        assert Outbox.select().count() == 0
    assert lying_in(node, AGENT) == 1
    assert lying_in(node, OTHER) >= 1
    assert lying_in(node, CONTROL_QUEUE) >= 1


def test_a_queue_whose_messages_would_be_lost_is_named_and_left_alone(db, node, publisher):
    left_without_a_leader(node, CONTROL_QUEUE)
    promised(CONTROL_QUEUE)

    with pytest.raises(Stuck, match=CONTROL_QUEUE):
        relay.drain(node.url, publisher)

    with borrowed():
        assert Outbox.select().count() == 1
