"""Work that waits for its turn: one after another in a lane, some lanes at once."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

log = structlog.get_logger()


class Lanes:
    """Work in lanes: *threads* run at once, and never two of one lane."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def put(self, lane: str, work: Callable[[], None]) -> None:
        """Have *work* done after all that is in *lane*."""
        with self._lock:
            queue = self._waiting.get(lane)
            if queue is not None:
                queue.append(work)
                return
            self._waiting[lane] = deque([work])
        self._pool.submit(self._next, lane)

    def close(self) -> None:
        """Wait for what runs; drop what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self, lane: str) -> None:
        work = self._waiting[lane][0]
        try:
            work()
        except Exception:
            log.exception("task.lost", lane=lane)
        with self._lock:
            queue = self._waiting[lane]
            queue.popleft()
            if not queue:
                del self._waiting[lane]
                return
        try:
            self._pool.submit(self._next, lane)
        except RuntimeError:
            log.info("task.left", lane=lane)  # closing: the next life resumes it
