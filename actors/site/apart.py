"""Work that is done apart, once for all who want what comes of it, while nobody waits for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NoReturn

KEPT_S: Final = 5.0
"""How long a failure is told to whoever asks, before the work is begun anew."""


class Pending(Exception):
    """The work is under way, or waits for its turn."""


class Apart:
    """Work by name: *threads* are done at once; :attr:`ended` is called when one has ended."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="apart")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._failed: dict[str, tuple[float, BaseException]] = {}
        self.ended: Callable[[], None] = lambda: None

    def take(self, name: str, work: Callable[[], object]) -> NoReturn:
        """Have *work* done, unless what is called *name* is under way.

        Raises Pending until it has ended, and for KEPT_S seconds what it raised.  What comes of it
        is found where it was put.
        """
        with self._lock:
            self._forget()
            if name in self._failed:
                raise self._failed[name][1]
            begins = name not in self._under_way
            self._under_way.add(name)
        if begins:
            self._pool.submit(work).add_done_callback(lambda done: self._settle(name, done))
        raise Pending

    def close(self) -> None:
        """Begin nothing more; what runs is left to end by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settle(self, name: str, done: "Future[object]") -> None:
        failure = None if done.cancelled() else done.exception()
        with self._lock:
            self._under_way.discard(name)
            if failure is not None:
                self._failed[name] = time.monotonic() + KEPT_S, failure
        self.ended()

    def _forget(self) -> None:
        now = time.monotonic()
        self._failed = {name: kept for name, kept in self._failed.items() if kept[0] > now}
