"""Has the artifacts of plans admitted beside the desk: a large file delays no other plan.

Rule 1: a plan is tried by one thread at a time, and what could not be had is tried again.
Rule 2: a URL that ran out is asked for anew, and not often: the answer is everything anew.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final
from uuid import UUID

import structlog

from actors.site.artifacts import Artifacts, Fetching, Unfetched
from actors.site.store import Links
from models.bootplan import BootPlan, File

THREADS: Final = 4
AT_ONCE_S: Final = 0.05
"""How long it is waited for what is here already and only has to be looked at."""

RETRY_S: Final = 5.0
"""Between two tries of what could not be had."""

REFRESH_S: Final = 30.0
"""Least seconds between two requests for URLs that have not run out."""

log = structlog.get_logger()

_Key = tuple[UUID, int]


class Admissions:
    """The plans whose files are looked at or fetched.  Used by one thread, the desk's."""

    def __init__(self, artifacts: Artifacts, done: Callable[[], None]) -> None:
        self._artifacts = artifacts
        self._done = done
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="admit")
        self._running: dict[_Key, Future[None]] = {}
        self._again_at: dict[_Key, float] = {}
        self._fresh = threading.Event()
        self._refreshed_at = float("-inf")
        self.refresh: Callable[[], None] = lambda: None
        """Called when a URL has run out: control is to send everything anew."""
        self.delayed: Callable[[BootPlan, Unfetched], None] = lambda *_: None
        """Called when a plan waits for a file, and with why."""
        artifacts.far.ended = self._come

    def close(self) -> None:
        """Begin nothing more; what is being fetched is left to end with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def news(self) -> None:
        """Something came from control, perhaps URLs: what waits may be tried at once."""
        self._fresh.set()

    def _come(self) -> None:
        self.news()
        self._done()

    def begin(self, plans: Iterable[BootPlan], links: Links) -> None:
        """Have the files of *plans* admitted, and forget all other plans."""
        wanted = {(plan.machine, plan.version): plan.files for plan in plans if plan.files}
        if self._fresh.is_set():
            self._fresh.clear()
            self._again_at.clear()
        self._again_at = {key: at for key, at in self._again_at.items() if key in wanted}
        self._running = {key: it for key, it in self._running.items() if key in wanted}
        now = time.monotonic()
        for key, files in wanted.items():
            if key not in self._running and now >= self._again_at.get(key, now):
                self._running[key] = self._pool.submit(self._admit, files, links)
                self._running[key].add_done_callback(lambda _: self._done())
        wait(self._running.values(), AT_ONCE_S)

    def admitted(self, plan: BootPlan) -> bool:
        """Whether all files of *plan* are served.  Raises Unservable when one never will be."""
        key = plan.machine, plan.version
        future = self._running.get(key)
        if not plan.files or future is None or not future.done():
            return not plan.files
        del self._running[key]
        try:
            future.result()
        except Unfetched as exc:
            self._again_at[key] = time.monotonic() + RETRY_S
            if not isinstance(exc, Fetching):
                log.warning("artifact.unfetched", why=str(exc), machine=str(plan.machine))
            if exc.expired:
                self._ask_for_urls()
            else:
                self.delayed(plan, exc)
            return False
        return True

    def _admit(self, files: Iterable[File], links: Links) -> None:
        for file in files:
            sha256 = file.sha256.lower()
            self._artifacts.admit(file, links.edge.get(sha256), links.elsewhere.get(sha256))

    def _ask_for_urls(self) -> None:
        if time.monotonic() - self._refreshed_at >= REFRESH_S:
            self._refreshed_at = time.monotonic()
            self.refresh()
