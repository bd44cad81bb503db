"""The part of dramatiq's Broker that is the same whatever carries the messages.

dramatiq's own RabbitmqBroker is not the base: it declares a delay queue and an expiring
dead-letter queue beside each queue, drops the reason of a rejection, and lets a consumer that
reconnected acknowledge another message's number.
"""

from typing import Any

import dramatiq
from dramatiq.middleware import Middleware

from actors.broker_contract import Publisher, check_sizes


class QueueBroker(dramatiq.Broker):
    """Queues by name, no delays; what is enqueued is confirmed before `enqueue` returns."""

    queues: set[str]

    def __init__(self, publisher: Publisher, middleware: list[Middleware]) -> None:
        super().__init__(middleware=[])
        self.queues = set()
        self.publisher = publisher
        self._declared: set[str] = set()
        for each in middleware:
            self.add_middleware(each)

    def ensure(self, queue: str) -> None:
        """Make *queue* on the server.  Raises a QueueError."""
        raise NotImplementedError

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Hand over *message* and return when it is stored.  Raises a QueueError."""
        if delay is not None:
            raise ValueError("nothing is awaited by a delayed message: give the wait a deadline")
        batch = [(message.queue_name, message.encode())]
        check_sizes(batch)
        if message.queue_name not in self._declared:
            self.ensure(message.queue_name)
            self._declared.add(message.queue_name)
        self.emit_before("enqueue", message, delay)
        self.publisher.publish(batch)
        self.emit_after("enqueue", message, delay)
        return message

    def close(self) -> None:
        self.publisher.close()
