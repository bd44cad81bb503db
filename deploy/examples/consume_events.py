"""Prints what happens to machines, from the topic exchange `sprout.events`.

    AMQP_URL=amqp://user:password@host:5672/sprout python deploy/examples/consume_events.py KEY

KEY chooses, by topic: `#` (all), `site.ams-1.machine.#`, `site.*.machine.provisioned`.
The queue is durable and named after the account, so that nothing is missed while this is away.
"""

import json
import os
import sys

import pika


def main(key: str) -> None:
    """Print events until Ctrl-C; each is acknowledged after it was printed."""
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    queue = f"events.{parameters.credentials.username}"
    seen: dict[str, str] = {}
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(queue, "sprout.events", key)
        for method, _, body in channel.consume(queue):
            event = json.loads(body)
            # Delivered at least once, in order per machine: what is not newer was here before.
            if event["sequence"] > seen.get(event["source"], ""):
                seen[event["source"]] = event["sequence"]
                print(event["time"], event["subject"], event["type"], json.dumps(event["data"]))
                sys.stdout.flush()
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "#")
