"""Domain events on a real topic exchange, as another system hears them."""

import json
import threading
from contextlib import contextmanager

import pika
import pytest

from actors import broker
from actors.control import events_relay
from models.commands import asks
from models.messages import EVENTS_EXCHANGE
from models.tables import DomainEvent as Row
from tests.actors.lane import until
from tests.models import make

pytestmark = pytest.mark.services


@contextmanager
def listener(url, key):
    """What arrives for *key*, in order."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, EVENTS_EXCHANGE, key)

        def heard():
            found = []
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                found.append((got[0].routing_key, got[1].content_type, json.loads(got[2])))
            return found

        yield heard


@pytest.fixture
def relay(db, database_url, rabbitmq_server):
    broker.declare(rabbitmq_server.url, [])
    stop = threading.Event()
    thread = events_relay.thread(database_url, rabbitmq_server.url, stop)
    yield rabbitmq_server
    stop.set()
    thread.join(60)


def test_who_binds_a_queue_hears_of_the_machines_it_chose_in_order(relay):
    with listener(relay.url, "site.ams-1.machine.*") as heard:
        scene = make.Scene()
        asks.cancel(make.ADA, asks.commission(make.ADA, scene.machine))
        events = []
        until(lambda: events.extend(heard()) or len(events) >= 4)

    assert [key for key, _, _ in events][:2] == [
        "site.ams-1.machine.commission",
        "site.ams-1.machine.workflow-begun",
    ]
    assert [each["sequence"] for _, _, each in events] == [f"{n:012d}" for n in range(1, 5)]
    assert {media for _, media, _ in events} == {"application/cloudevents+json; charset=UTF-8"}


def test_events_wait_for_a_broker_that_is_away(relay):
    scene = make.Scene()
    relay.stop()
    asks.cancel(make.ADA, asks.commission(make.ADA, scene.machine))
    assert Row.select().where(Row.published_at.is_null()).count() == 4
    relay.start()

    until(lambda: not Row.select().where(Row.published_at.is_null()).exists())
