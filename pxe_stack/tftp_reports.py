"""How TFTP requests ended, written into the site's journal beside the loop that serves them."""

import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog

from models.observations import Observation, Seen, Source
from pxe_stack.site_directory import Stores
from pxe_stack.tftp_outcome import Outcome

log = structlog.get_logger()

MOST_WAITING: Final = 10_000
"""Outcomes that wait while another process has the journal; beyond that they are counted."""
COUNTS_EVERY_S: Final = 5.0


class Reports:
    """Tells the journal of *stores*, in a thread: no lock of a file holds up a transfer.

    *counts*, by their labels, are what is not worth a row; they are added to the journal's.
    """

    def __init__(self, stores: Stores, counts: Mapping[str, int]) -> None:
        self._stores = stores
        self._counts = counts
        self._told: Counter[str] = Counter()
        self._lost = 0
        self._unflushed = False
        self._waiting: queue.SimpleQueue[Outcome | Observation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="tftp-reports")
        self._thread.start()

    def tell(self, outcome: Outcome | Observation) -> None:
        """Have *outcome* written down soon."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(outcome)
        else:
            self._lost += 1

    def append(self, observation: Observation) -> int:
        """Have *observation* written down soon, and its run's phase advanced: a Journal's part."""
        self.tell(observation)
        return 1

    def acked_at(self, mac: str) -> float | None:
        """Return when DHCP last confirmed an address to *mac*: a Journal's other part."""
        return self._stores.journal.acked_at(mac)

    def close(self) -> None:
        """Write what waits."""
        self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        counted_at, going = time.monotonic(), True
        while going:
            try:
                outcome = self._waiting.get(timeout=COUNTS_EVERY_S)
                going = outcome is not None
                if outcome is not None:
                    self._unflushed = True
                    self._stores.journal.append(_seen(outcome, self._stores))
                if not going or time.monotonic() - counted_at >= COUNTS_EVERY_S:
                    counted_at = time.monotonic()
                    self._count()
            except queue.Empty:
                self._count()
            except sqlite3.Error:
                log.exception("tftp.untold")

    def _count(self) -> None:
        now = Counter({f"tftp {label}": n for label, n in dict(self._counts).items()})
        now["tftp untold"] = self._lost
        grown, self._told = now - self._told, now
        self._stores.journal.count(grown)
        if grown or self._unflushed:
            self._unflushed = False
            self._stores.journal.flush()


def _seen(outcome: Outcome | Observation, stores: Stores) -> Observation:
    if isinstance(outcome, Observation):
        return outcome
    known = stores.directory.by_address(outcome.client)
    plan = None if known is None else known.plan
    why = {} if outcome.why is None else {"why": outcome.why.value, "detail": outcome.detail}
    return Observation(
        kind=Seen.TFTP_SENT if outcome.why is None else Seen.TFTP_FAILED,
        source=Source.TFTP,
        at=time.time(),
        mac=None if plan is None else plan.mac,
        machine=None if plan is None else plan.machine,
        run=None if plan is None else plan.run,
        data={
            "client": outcome.client,
            "name": outcome.name,
            "bytes": outcome.size,
            "blocks": outcome.blocks,
            "seconds": round(outcome.seconds, 3),
            "blksize": outcome.blksize,
            "window": outcome.window,
            "resent": outcome.resent,
            **{name: told for name, told in why.items() if told},
        },
    )
