"""Domain events on RabbitMQ: the topic exchange `sprout.events`, CloudEvents in structured mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
"""

import json
from collections.abc import Sequence
from typing import Final

from actors.broker_rabbitmq_publisher import Letter, RabbitPublisher
from models.events import DomainEvent
from models.messages import EVENTS_EXCHANGE

MEDIA_TYPE: Final = "application/cloudevents+json; charset=UTF-8"


class EventPublisher:
    """Publishes events, and returns when all are confirmed."""

    def __init__(self, url: str) -> None:
        self._publisher = RabbitPublisher(url)

    def publish(self, batch: Sequence[DomainEvent]) -> None:
        """Publish *batch* in its order.  Raises Unconfirmed."""
        self._publisher.send([_letter(event) for event in batch])

    def close(self) -> None:
        self._publisher.close()


def _letter(event: DomainEvent) -> Letter:
    body = json.dumps(event.cloud_event(), separators=(",", ":"), sort_keys=True).encode()
    return Letter(
        event.routing_key,
        body,
        exchange=EVENTS_EXCHANGE,
        topic=True,
        content_type=MEDIA_TYPE,
    )
