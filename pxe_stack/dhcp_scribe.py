"""Writes what DHCP noted, in a thread of its own: whoever holds the journal holds up no packet."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from models.observations import Observation
from pxe_stack.journal import JournalStore

log = structlog.get_logger()

MOST: Final = 8192
"""Rows that wait at most, and of planned machines as many again; beyond that they are counted."""
AT_ONCE: Final = 256
"""Rows of one transaction: others write to the journal too."""
PAUSE_S: Final = 0.05
"""How long rows of strangers wait for others: one transaction is cheaper than many."""
UNWRITTEN: Final = "dhcp unwritten"


class Scribe:
    """Takes rows and counts at once, and writes them to the journal that *opened* returns."""

    def __init__(self, opened: Callable[[], JournalStore]) -> None:
        self._journal = opened()
        self._rows: list[Observation] = []
        self._counts: Counter[str] = Counter()
        self._flushes = self._ends = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="scribe", daemon=True)
        self._thread.start()

    def append_all(self, seen: Sequence[Observation]) -> None:
        """Have *seen* written soon."""
        with self._changed:
            for row in seen:
                if len(self._rows) < (MOST if row.machine is None else 2 * MOST):
                    self._rows.append(row)
                else:
                    self._counts[UNWRITTEN] += 1
            self._changed.notify()

    def count(self, counts: Mapping[str, int]) -> None:
        """Have *counts* added to the journal's, by the next flush."""
        with self._changed:
            self._counts.update(counts)

    def flush(self) -> None:
        """Have all counts written soon."""
        with self._changed:
            self._flushes = True
            self._changed.notify()

    def close(self) -> None:
        """Return when all that was taken is written, or cannot be."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()
        self._journal.close()

    def _write(self) -> None:
        ends = False
        while not ends:
            with self._changed:
                self._changed.wait_for(lambda: self._rows or self._flushes or self._ends)
                self._changed.wait_for(self._hurries, PAUSE_S)
                rows, self._rows = self._rows[:AT_ONCE], self._rows[AT_ONCE:]
                counts, self._counts = self._counts, Counter()
                ends = self._ends and not self._rows
                flushes, self._flushes = self._flushes or ends, False
            self._write_some(rows, counts, flushes=flushes)

    def _hurries(self) -> bool:
        """Whether to write at once: the next request of a planned machine depends on its rows."""
        planned = any(row.machine is not None for row in self._rows[-AT_ONCE:])
        return planned or len(self._rows) >= AT_ONCE or self._flushes or self._ends

    def _write_some(
        self, rows: Sequence[Observation], counts: Mapping[str, int], *, flushes: bool
    ) -> None:
        try:
            self._journal.count(counts)
            self._journal.append_all(rows)
            if flushes:
                self._journal.flush()
        except sqlite3.Error:  # rows are lost then, and the number of them is told of later
            log.exception("dhcp.unwritten", rows=len(rows))
            self._journal.count({UNWRITTEN: len(rows)})
