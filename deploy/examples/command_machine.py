"""Sends one command to Sprout by message, and prints its answer.

    AMQP_URL=amqp://user:password@host:5672/sprout \
        python deploy/examples/command_machine.py machine.power-on node-01 [name=value …]

The account of AMQP_URL must have a role: SPROUT_AUTOMATION_USERS=user=operator.
"""

import json
import os
import sys
import time
from uuid import uuid4

import pika

PATIENCE_S = 30


def main(command: str, machine: str, *words: str) -> int:
    """Send the command, wait for the answer by direct reply-to; return the exit status."""
    parameters = pika.URLParameters(os.environ["AMQP_URL"])
    params = dict(word.split("=", 1) for word in words)
    body = {"v": 1, "command": command, "machine": machine, "params": params, "reason": "example"}
    properties = pika.BasicProperties(
        user_id=parameters.credentials.username,  # RabbitMQ refuses anybody else's
        message_id=str(uuid4()),  # the same id again does nothing twice
        reply_to="amq.rabbitmq.reply-to",
        content_type="application/json",
        delivery_mode=2,
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        answers: list[bytes] = []
        channel.basic_consume(
            "amq.rabbitmq.reply-to", lambda *got: answers.append(got[3]), auto_ack=True
        )
        channel.basic_publish("", "sprout.automation", json.dumps(body).encode(), properties)
        until = time.monotonic() + PATIENCE_S
        while not answers and time.monotonic() < until:
            connection.process_data_events(time_limit=1)
    if not answers:
        print(f"no answer within {PATIENCE_S} s", file=sys.stderr)
        return 1
    answer = json.loads(answers[0])
    print(json.dumps(answer, indent=2))
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
