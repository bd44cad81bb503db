"""Headers of strangers: what pika cannot read of them is dropped, never the connection.

RabbitMQ hands on any table that parses, but pika breaks the connection over a time beyond the year
9999, or tables too deep in one another.  The message would then come again, break the connection
again, and in the end do the same among the dead letters.
"""

import struct
from datetime import UTC, datetime
from typing import Any, Final

from pika import data
from pika.exceptions import AMQPError

from actors.broker_contract import DETAIL_LIMIT, DeadLetter, Reason, identity, printable
from models.messages import LIMIT

UNREADABLE: Final = (AMQPError, ArithmeticError, OSError, RecursionError, ValueError, struct.error)

_strictly: Final = data.decode_table


def _readable(encoded: bytes, offset: int) -> tuple[dict[str, Any], int]:
    """Return the table at *offset*, empty when it cannot be read, and where it ends."""
    try:
        table, end = _strictly(encoded, offset)
    except UNREADABLE:
        (size,) = struct.unpack_from(">I", encoded, offset)
        return {}, offset + 4 + size
    return {name: value for name, value in table.items() if isinstance(name, str)}, end


def read_leniently() -> None:
    """Have pika read tables so, in this process."""
    data.decode_table = _readable


def dead_letter(properties: Any, body: bytes) -> DeadLetter:
    """Read our own headers, or RabbitMQ's `x-death` where it moved the message by itself.

    A site's account may say what it likes here too: nothing is taken for granted.
    """
    headers = properties.headers or {}
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    death: dict[str, Any] = first if isinstance(first, dict) else {}
    time = death.get("time")
    return DeadLetter(
        id=identity(body),
        queue=_said(headers.get("sprout-queue", death.get("queue"))),
        reason=Reason.OVERSIZE if len(body) > LIMIT else _reason(headers, death),
        detail=_said(headers.get("sprout-detail")),
        died_at=time if isinstance(time, datetime) else _moment(properties.timestamp),
        body=body[:LIMIT],
    )


def _reason(headers: dict[str, Any], death: dict[str, Any]) -> str:
    return _said(headers.get("sprout-reason", death.get("reason"))).replace("_", "-")


def _said(value: object) -> str:
    return printable(value[:DETAIL_LIMIT]) if isinstance(value, str) else ""


def _moment(stamp: int | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(stamp, UTC) if stamp else None
    except (ValueError, OverflowError, OSError):
        return None
