"""The two processes of boot HTTP: `http` accepts and answers, `files` sends what is large.

http     one thread for all connections, one for the answers that read or write the site's stores
files    one thread for its connections; it is handed those that ask for files, and hands them back

A thousand slow downloads are a thousand idle sockets of another process; without that process
`http` sends files itself.
"""

import queue
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from pxe_stack import boot, http_proxy
from pxe_stack.boot_entry import TROUBLE
from pxe_stack.boot_files import is_file
from pxe_stack.boot_sources import Defer, Sources
from pxe_stack.http_answer import Answer, plain
from pxe_stack.http_handover import Giver, Taker
from pxe_stack.http_line import Line
from pxe_stack.http_loop import Limits, Loop
from pxe_stack.http_message import Request
from pxe_stack.journal import JournalStore
from pxe_stack.run_files import is_large

log = structlog.get_logger()

MOST_TOGETHER: Final = 256
"""Requests that are answered in one transaction."""
MOST_WAITING: Final = 4096
"""Requests that wait for their answer; beyond that 503 is one."""

FLUSH_S: Final = 5.0
"""How often what is only counted is written down."""

Job = tuple[Line | None, Request | Callable[[], None]]


class Answering:
    """Answers requests in a thread of its own, as many as wait in one transaction.

    What they have written down lies on the disk before the first of the answers leaves.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        journal: JournalStore,
        post: Callable[[list[tuple[Line, Answer]]], None],
        counts: Mapping[str, int],
    ) -> None:
        self._answer = answer
        self._journal = journal
        self._post = post
        self._counts = counts
        self._counted: Counter[str] = Counter()
        self._dropping = threading.Lock()
        self._dropped = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._flushed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer what waits, and end."""
        self._jobs.put(None)
        self._thread.join()

    def ask(self, line: Line, request: Request) -> None:
        """Have *request* answered on *line*."""
        if self._jobs.qsize() >= MOST_WAITING:
            line.answer(plain(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1"))
        else:
            self._jobs.put((line, request))

    def defer(self, act: Callable[[], None]) -> None:
        """Have *act* done beside answers; dropped, and counted, when too much waits."""
        if self._jobs.qsize() < MOST_WAITING:
            self._jobs.put((None, act))
            return
        with self._dropping:  # the one thing here that both threads may do
            self._dropped += 1

    def _run(self) -> None:
        while (first := self._next()) is not None:
            jobs, last = [first], False
            while len(jobs) < MOST_TOGETHER and not last and not self._jobs.empty():
                job = self._jobs.get()
                last = job is None
                jobs.extend(() if job is None else (job,))
            self._settle(jobs)
            if last:
                break
        self._flush()

    def _next(self) -> Job | None:
        """Wait for the next job; meanwhile what was only counted is written down."""
        while True:
            if (now := time.monotonic()) - self._flushed >= FLUSH_S:
                self._flushed = now
                self._flush()
            try:
                return self._jobs.get(timeout=FLUSH_S)
            except queue.Empty:
                continue

    def _flush(self) -> None:
        """Write down what was only counted, here and by the thread that has the connections."""
        now = Counter(dict(self._counts) | {"http untold": self._dropped})
        grown, self._counted = now - self._counted, now
        try:
            self._journal.count(grown)
            self._journal.flush()
        except sqlite3.Error:
            log.exception("http.uncounted")

    def _settle(self, jobs: Sequence[Job]) -> None:
        durable = any(isinstance(each, Request) and _reports(each) for _, each in jobs)
        try:
            with self._journal.together(durable=durable):
                answers = [(line, self._one(each)) for line, each in jobs]
        except sqlite3.Error:
            log.exception("http.not-kept", requests=len(jobs))
            answer = plain(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1")
            answers = [(line, answer) for line, _ in jobs]
        self._post([(line, found) for line, found in answers if line is not None and found])

    def _one(self, asked: Request | Callable[[], None]) -> Answer | None:
        if isinstance(asked, Request):
            return answered(asked, self._answer)
        try:
            asked()
        except sqlite3.Error:
            raise
        except Exception:
            log.exception("http.failed")
        return None


def _reports(request: Request) -> bool:
    """Whether a machine tells something that its run may end by; a boot script cannot post."""
    return request.method == "POST" or request.path.endswith(f"/{TROUBLE}")


def answered(request: Request, answer: Callable[[Request], Answer]) -> Answer:
    """Return what *answer* gives for *request*, or 500.  Raises sqlite3.Error."""
    with bound_contextvars(request_id=request.id):
        try:
            return answer(request)
        except sqlite3.Error:
            raise
        except Exception:
            log.exception("http.failed")
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR)


class Server:
    """Boot HTTP in this process, from *sources*.

    *proxies* are the addresses of web servers in front.  Scripts are answered where *listener* is
    given; without one this is the files' process, and takes connections over.
    """

    def __init__(
        self,
        sources: Callable[[Defer], Sources],
        journal: JournalStore,
        folder: Path,
        *,
        listener: socket.socket | None,
        proxies: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._loop = Loop(listener, self._take, limits or Limits(unbounded=frozenset(proxies)))
        self._proxies = frozenset(proxies)
        self._answering = Answering(self._answer, journal, self._loop.post, self._loop.counts)
        self._sources = sources(self._answering.defer)
        self._serves_files = listener is None
        self._other = Taker(folder, self._loop) if listener is None else Giver(folder, self._loop)

    def run(self, stop: socket.socket) -> None:
        """Serve until *stop* can be read."""
        self._answering.start()
        self._loop.run(stop)
        self._loop.end()
        self._other.close()
        self._answering.close()
        self._loop.close()

    def _answer(self, request: Request) -> Answer:
        return boot.answer(self._sources, request)

    def _take(self, line: Line, request: Request) -> None:
        asked = http_proxy.seen_through(request, self._proxies)
        read = asked.method in {"GET", "HEAD"}
        file = read and is_file(asked.path)
        large = file or (read and is_large(asked.path))
        if large is not self._serves_files and self._handed_over(line, request):
            return
        if file:
            line.answer(self._file(asked))
        else:
            self._answering.ask(line, asked)

    def _handed_over(self, line: Line, request: Request) -> bool:
        """Give the connection to the other process; a request with a body stays."""
        if request.body or not self._other.send(line.sock, line.raw + line.received):
            return False
        self._loop.release(line).close()
        return True

    def _file(self, request: Request) -> Answer:
        try:
            return answered(request, self._answer)
        except sqlite3.Error:
            log.exception("http.not-read", request_id=request.id)
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="1")
