"""BMCs that do not answer are left alone for a while: a circuit breaker for each.

Closed: a BMC is asked.  Open, after MOST_SILENT tasks in a row that it answered nothing of: it is
not asked before its rest is over.  Half open: then one task tries; an answer closes the circuit,
and silence doubles the rest.  Any answer counts, a refusal too: who refuses is there.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from actors.drivers.errors import Resting, Unreachable

MOST_SILENT: Final = 3
FIRST_REST_S: Final = 10.0
LONGEST_REST_S: Final = 120.0


@dataclass(slots=True)
class Hearing:
    """What one task heard: exchanges that were tried, and those that an answer came to."""

    tried: int = 0
    answered: int = 0

    def note(self, status: int) -> None:
        """Count an exchange that ended with *status*; 0: no answer."""
        self.tried += 1
        self.answered += status != 0


@dataclass(slots=True)
class _Circuit:
    silent: int = 0
    rests_until: float = 0.0
    is_tried: bool = False

    def rest_s(self) -> float:
        """Return how long it rests after so many silent tasks; 0 while it is closed."""
        more = self.silent - MOST_SILENT
        return 0.0 if more < 0 else min(FIRST_REST_S * 2.0 ** min(more, 10), LONGEST_REST_S)


class Circuits:
    """One circuit for each BMC that was silent last, of all that this process asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._of: dict[str, _Circuit] = {}

    @contextmanager
    def asking(self, bmc: str) -> Iterator[Hearing]:
        """Let a task ask *bmc*, and learn from what it heard.  Raises Resting."""
        self._admit(bmc)
        hearing, failed = Hearing(), False
        try:
            yield hearing
        except Unreachable:
            failed = True
            raise
        finally:
            self._learn(bmc, hearing, failed=failed)

    def _admit(self, bmc: str) -> None:
        with self._lock:
            circuit = self._of.get(bmc)
            if circuit is None or circuit.silent < MOST_SILENT:
                return
            left = circuit.rests_until - self._clock()
            if left <= 0 and not circuit.is_tried:
                circuit.is_tried = True
                return
            again = f"is asked again in {math.ceil(left)} s" if left > 0 else "is being asked again"
            raise Resting(f"the BMC at {bmc} did not answer {circuit.silent} times; it {again}")

    def _learn(self, bmc: str, hearing: Hearing, *, failed: bool) -> None:
        with self._lock:
            if hearing.answered:
                self._of.pop(bmc, None)
            elif failed and hearing.tried:
                circuit = self._of.setdefault(bmc, _Circuit())
                circuit.silent += 1
                circuit.is_tried = False
                circuit.rests_until = self._clock() + circuit.rest_s()
            elif bmc in self._of:
                self._of[bmc].is_tried = False  # it ended before it had asked
