"""The queue `sprout.automation`: commands of other systems, which are no dramatiq messages.

RabbitMQ has validated `user_id` where it stands: it is the account that published
(https://www.rabbitmq.com/docs/validated-user-id).  Nothing else in a message is to be believed.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pika
import structlog
from pika.exceptions import NackError, UnroutableError

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
PAUSE_S: Final = 1.0
"""Between two tries of a command that cannot be done now."""

DIRECT: Final = "amq.rabbitmq.reply-to."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """One message: *user* as RabbitMQ validated it."""

    body: bytes
    user: str | None
    message_id: str | None


class NotNow(Exception):
    """A command cannot be done now: it is held, and tried again."""


Obey = Callable[[Asked], Mapping[str, Any]]
"""Answers a message.  Raises Unworkable for one that cannot be read, NotNow for later."""


def listen(url: str, obey: Obey, stop: threading.Event) -> None:
    """Work on the queue until *stop*, acknowledging what was answered.  Raises Unconfirmed."""
    mourner, answers = RabbitPublisher(url), Answers(url)
    try:
        with pika.BlockingConnection(parameters(url, name="automation")) as connection:
            channel = connection.channel()
            channel.queue_declare(AUTOMATION_QUEUE, durable=True, arguments=dict(ARGUMENTS))
            channel.basic_qos(prefetch_count=PREFETCH)
            patiently = _patient(obey, connection, stop)
            for got in channel.consume(AUTOMATION_QUEUE, inactivity_timeout=LOOK_S):
                if got[0] is not None:
                    _work(channel, mourner, answers, got, patiently)
                answers.tend()
                if stop.is_set():
                    return
    except NotNow:
        return  # told to stop meanwhile: the message goes back to the queue
    except FAILURES as exc:
        raise Unconfirmed(f"RabbitMQ: {exc!r}") from exc
    finally:
        mourner.close()
        answers.close()


def _patient(obey: Obey, connection: Any, stop: threading.Event) -> Obey:
    """Return *obey*, tried until it can be done; raises NotNow only after *stop*.

    The message stays in hand meanwhile: one that is given back is dead after a few times.
    """

    def patiently(asked: Asked) -> Mapping[str, Any]:
        while True:
            try:
                return obey(asked)
            except NotNow as exc:
                log.warning("automation.waiting", why=str(exc))
                connection.sleep(PAUSE_S)
                if stop.is_set():
                    raise

    return patiently


def _work(
    channel: Any,
    mourner: RabbitPublisher,
    answers: "Answers",
    got: tuple[Any, Any, bytes],
    obey: Obey,
) -> None:
    method, properties, body = got
    asked = Asked(body, _text(properties.user_id), _text(properties.message_id))
    try:
        _check_size(body)
        answer = obey(asked)
    except Unworkable as exc:
        log.warning("automation.unreadable", user=asked.user, reason=exc.reason.value)
        mourner.send([Letter.dead(AUTOMATION_QUEUE, body, exc)])
    else:
        if may_reply(properties.reply_to, asked.user):
            answers.send(properties.reply_to, answer, properties.correlation_id)
    channel.basic_ack(method.delivery_tag)


def _text(value: str | bytes | None) -> str | None:
    """Return a property as text; what is no UTF-8 in it stands there escaped."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _check_size(body: bytes) -> None:
    if len(body) > LIMIT:
        raise Unworkable(Reason.OVERSIZE, f"{len(body)} bytes")


class Answers:
    """Answers on a connection of their own, which a forged address may break.

    RabbitMQ ends the connection of whoever sends to a direct reply that it never made
    ("INTERNAL_ERROR", seen in 3.10).  An answer that cannot be delivered is dropped, and logged.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._channel: Any = None

    def send(self, to: str, answer: Mapping[str, Any], correlation: str | bytes | None) -> None:
        """Deliver *answer*, on a new connection when the old one broke."""
        for last in (False, True):
            try:
                self._publish(to, answer, correlation)
            except (UnroutableError, NackError) as exc:
                log.warning("automation.unanswered", reply_to=to, why=repr(exc))
            except FAILURES as exc:
                self.close()
                if last:
                    log.warning("automation.unanswered", reply_to=to, why=repr(exc))
                continue
            return

    def tend(self) -> None:
        """Answer the heartbeats of the connection."""
        if self._connection is not None:
            try:
                self._connection.process_data_events(0)
            except FAILURES:
                self.close()

    def close(self) -> None:
        """Hang up; the next answer makes a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*FAILURES):
                connection.close()

    def _publish(self, to: str, answer: Mapping[str, Any], correlation: str | bytes | None) -> None:
        if self._connection is None:
            self._connection = pika.BlockingConnection(parameters(self._url, name="answers"))
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        told = pika.BasicProperties(content_type="application/json", correlation_id=correlation)
        # RabbitMQ returns a mandatory direct reply even when it delivers it.
        mandatory = not to.startswith(DIRECT)
        self._channel.basic_publish("", to, json.dumps(answer).encode(), told, mandatory=mandatory)


def may_reply(reply_to: object, user: str | None) -> bool:
    """Whether an answer may go to *reply_to*: a direct reply, or a queue of *user*'s own.

    An own queue is `reply.USER.NAME`, and NAME has no dot: users' names may, and `reply.a.b.x` is
    not a's but a.b's.  Anything else would let a stranger write into a queue that he may not
    write to himself.
    """
    if not isinstance(reply_to, str):
        return False
    if re.fullmatch(rf"{re.escape(DIRECT)}[A-Za-z0-9+/=._@-]{{1,200}}", reply_to):
        return True
    own = rf"reply\.{re.escape(user)}\.[A-Za-z0-9_-]{{1,128}}" if user else "$^"
    return re.fullmatch(own, reply_to) is not None
