"""The queue `sprout.automation`: commands of other systems, which are no dramatiq messages.

RabbitMQ has validated `user_id` where it stands: it is the account that published
(https://www.rabbitmq.com/docs/validated-user-id).
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pika
import structlog

from actors.broker_contract import DEAD_LETTERS, MOST_DELIVERIES, Reason, Unconfirmed, Unworkable
from actors.broker_rabbitmq_publisher import FAILURES, Letter, RabbitPublisher, parameters
from models.messages import AUTOMATION_QUEUE, LIMIT

ARGUMENTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "x-queue-type": "quorum",
        "x-delivery-limit": MOST_DELIVERIES - 1,
        "x-overflow": "reject-publish",
        "x-max-length": 10_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD_LETTERS,
        "x-dead-letter-strategy": "at-least-once",
    }
)
PREFETCH: Final = 8
LOOK_S: Final = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """One message: *user* as RabbitMQ validated it."""

    body: bytes
    user: str | None
    message_id: str | None


Obey = Callable[[Asked], Mapping[str, Any]]
"""Answers a message.  Raises Unworkable for one that cannot be read."""


def listen(url: str, obey: Obey, stop: threading.Event) -> None:
    """Work on the queue until *stop*, acknowledging what was answered.  Raises Unconfirmed."""
    mourner = RabbitPublisher(url)
    try:
        with pika.BlockingConnection(parameters(url, name="automation")) as connection:
            channel = connection.channel()
            channel.queue_declare(AUTOMATION_QUEUE, durable=True, arguments=dict(ARGUMENTS))
            channel.basic_qos(prefetch_count=PREFETCH)
            for got in channel.consume(AUTOMATION_QUEUE, inactivity_timeout=LOOK_S):
                if got[0] is not None:
                    _work(channel, mourner, got, obey)
                if stop.is_set():
                    return
    except FAILURES as exc:
        raise Unconfirmed(f"RabbitMQ: {exc!r}") from exc
    finally:
        mourner.close()


def _work(channel: Any, mourner: RabbitPublisher, got: tuple[Any, Any, bytes], obey: Obey) -> None:
    method, properties, body = got
    asked = Asked(body, properties.user_id, properties.message_id)
    try:
        _check_size(body)
        answer = obey(asked)
    except Unworkable as exc:
        log.warning("automation.unreadable", user=asked.user, reason=exc.reason.value)
        mourner.send([Letter.dead(AUTOMATION_QUEUE, body, exc)])
    else:
        _reply(channel, properties, answer)
    channel.basic_ack(method.delivery_tag)


def _check_size(body: bytes) -> None:
    if len(body) > LIMIT:
        raise Unworkable(Reason.OVERSIZE, f"{len(body)} bytes")


def _reply(channel: Any, properties: Any, answer: Mapping[str, Any]) -> None:
    if not may_reply(properties.reply_to, properties.user_id):
        return
    told = pika.BasicProperties(
        content_type="application/json", correlation_id=properties.correlation_id
    )
    channel.basic_publish("", properties.reply_to, json.dumps(answer).encode(), told)


def may_reply(reply_to: str | None, user: str | None) -> bool:
    """Whether an answer may go to *reply_to*: a direct reply, or a queue of *user*'s own.

    Anything else would let a stranger write into a queue that he may not write to himself.
    """
    if not reply_to:
        return False
    if re.fullmatch(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=._@-]{1,200}", reply_to):
        return True
    own = rf"reply\.{re.escape(user)}\.[A-Za-z0-9._-]{{1,128}}" if user else "$^"
    return re.fullmatch(own, reply_to) is not None
