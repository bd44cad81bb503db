"""What the log says of a message's death: a few of each site's, and then how many more there were.

Every dead letter is kept whole where operators list it; the log only says that there are some.
"""

import json
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final
from uuid import UUID

import structlog

from actors.broker_contract import Unworkable, identity
from models.errors import DomainError
from models.messages import site_of

SAID: Final = 5
"""Deaths that are told of one by one, of each site, queue and reason in EACH_S seconds."""

EACH_S: Final = 60.0
MOST_SITES: Final = 64
"""Sites that are counted apart: a message may claim to be of any, before it is refused."""

log = structlog.get_logger()


class Seldom:
    """Lets the first few of each kind of thing through in a while.  Safe to share."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._counts: dict[Hashable, int] = {}

    def passes(self, *kind: Hashable) -> tuple[bool, int]:
        """Return whether to speak of one more, and how many of all kinds were passed over.

        The number is of the while before, and is given once.
        """
        with self._lock:
            over = self._next() if self._clock() - self._since >= EACH_S else 0
            if kind not in self._counts and len(self._counts) >= MOST_SITES:
                kind = ()
            self._counts[kind] = self._counts.get(kind, 0) + 1
            return self._counts[kind] <= SAID, over

    def _next(self) -> int:
        over = sum(max(0, count - SAID) for count in self._counts.values())
        self._since = self._clock()
        self._counts.clear()
        return over


_seldom: Final = Seldom()


def mourn(queue: str, body: bytes, why: Unworkable, seldom: Seldom = _seldom) -> None:
    """Write the death of a message to the log, unless there were many of its like."""
    said, passed_over = seldom.passes(queue, _site(body), why.reason)
    if passed_over:
        log.warning("queue.dead-letters-unsaid", count=passed_over, seconds=EACH_S)
    if said:
        log.warning(
            "queue.dead-letter",
            queue=queue,
            message=identity(body),
            bytes=len(body),
            reason=why.reason.value,
            detail=why.detail,
        )


def _site(body: bytes) -> UUID | None:
    """Return the site that the message says it is of."""
    try:
        return site_of(json.loads(body)["kwargs"]["message"])
    except (DomainError, ValueError, KeyError, TypeError, RecursionError):
        return None
