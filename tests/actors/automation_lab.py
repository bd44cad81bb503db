"""Automation in this process on a real RabbitMQ, and another system that asks it."""

import json
import threading
import time
from contextlib import contextmanager
from uuid import uuid4

import pika

from actors import broker
from actors.control import automation
from models import roles
from models.messages import AUTOMATION_QUEUE
from tests.actors.lane import until

GRANTS = roles.parsed("guest=operator")
GOOD = {"v": 1, "command": "machine.power-on", "machine": "node-01"}
DIRECT = "amq.rabbitmq.reply-to"


@contextmanager
def listening(url):
    """The thread that takes commands, for the block."""
    broker.declare(url, [])
    stop = threading.Event()
    thread = automation.thread(url, GRANTS, stop)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        until(lambda: is_declared(connection, AUTOMATION_QUEUE))
    yield thread
    assert thread.is_alive()
    stop.set()
    thread.join(60)


def is_declared(connection, queue):
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    channel.close()
    return True


class Asker:
    """Another system: it asks, and hears what is answered."""

    def __init__(self, url):
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.basic_consume(DIRECT, lambda *got: self.heard.append(got), auto_ack=True)
        self.heard = []

    def ask(self, body, **properties):
        """Send *body* by this user with a new id, unless *properties* say otherwise."""
        usual = {"user_id": "guest", "message_id": str(uuid4()), "reply_to": DIRECT}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = pika.BasicProperties(**usual | {"correlation_id": "c-1"} | properties)
        self._channel.basic_publish("", AUTOMATION_QUEUE, content, told)

    def answers(self, count=1, *, seconds=60):
        """Return (correlation id, answer) of what comes, up to *count* within *seconds*."""
        until_s = time.monotonic() + seconds
        while len(self.heard) < count and time.monotonic() < until_s:
            self._connection.process_data_events(time_limit=0.1)
        came, self.heard = self.heard, []
        return [(got[2].correlation_id, json.loads(got[3])) for got in came]

    def close(self):
        if self._connection.is_open:
            self._connection.close()
