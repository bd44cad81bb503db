"""Keeps a site's processes running: forks them, starts again what dies, ends all together.

Rule 1: one thread, so that a fork copies a whole process; nothing heavy is done here.
Rule 2: it sleeps in one select, on a pidfd of each child and on signals; it never looks by itself.
Rule 3: a child dies with its supervisor, however that dies (prctl PR_SET_PDEATHSIG).
"""

import ctypes
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 30.0
"""Whoever lived this long is started again at once when it dies."""

GRACE_S: Final = 10.0
"""How long children have to end by themselves."""

ENDS_ALL: Final = 3
"""Exit status of a child that knows that nothing here may serve."""

_PR_SET_PDEATHSIG: Final = 1
_STOP: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Child:
    """One process: *main* is its whole life, in a fork of the supervisor."""

    name: str
    main: Callable[[], None]


@dataclass(slots=True)
class _Seat:
    """A child and how it fares; times are of the monotonic clock."""

    child: Child
    pid: int = 0
    pidfd: int = -1
    born: float = 0.0
    pause: float = 0.0
    due: float = 0.0

    @property
    def alive(self) -> bool:
        return self.pidfd >= 0


def run(children: Sequence[Child]) -> int:
    """Keep *children* running until SIGTERM or SIGINT; return 0 when all have ended.

    A child that ends with ENDS_ALL takes the others with it; that is returned then.
    """
    seats = [_Seat(child) for child in children]
    code = 0
    with selectors.DefaultSelector() as selector, _signals() as (woken, stopping):
        selector.register(woken, selectors.EVENT_READ)
        gc.collect()
        gc.freeze()  # what is shared with the children stays shared
        while not stopping and code != ENDS_ALL:
            _start_due(seats, selector)
            for key, _ in selector.select(_until_due(seats)):
                if isinstance(key.data, _Seat):
                    code = _bury(key.data, selector) if code != ENDS_ALL else code
                else:
                    woken.recv(64)
        _end_all(seats, selector)
    return code if code == ENDS_ALL else 0


def _start_due(seats: Sequence[_Seat], selector: selectors.BaseSelector) -> None:
    for seat in seats:
        if not seat.alive and time.monotonic() >= seat.due:
            _start(seat, selector)


def _until_due(seats: Sequence[_Seat]) -> float | None:
    due = [seat.due for seat in seats if not seat.alive]
    return max(0.0, min(due) - time.monotonic()) if due else None


def _start(seat: _Seat, selector: selectors.BaseSelector) -> None:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(seat.child, parent)
    seat.pid, seat.pidfd, seat.born = pid, os.pidfd_open(pid), time.monotonic()
    selector.register(seat.pidfd, selectors.EVENT_READ, seat)
    log.info("site.started", child=seat.child.name, pid=pid)


def _live(child: Child, parent: int) -> None:
    """Be the child, and never return."""
    code = 1
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return
        signal.set_wakeup_fd(-1)
        for each in _STOP:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor to pass on
        child.main()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except Exception:
        log.exception("site.failed", child=child.name)
    finally:
        os._exit(code)


def _bury(seat: _Seat, selector: selectors.BaseSelector) -> int:
    """Take leave of a child that has ended, and say when it is due again; return its status."""
    code = _ended(seat, selector)
    lived = time.monotonic() - seat.born
    seat.pause = 0.0 if lived >= STEADY_S else _longer(seat.pause)
    seat.due = time.monotonic() + seat.pause
    log.warning("site.died", child=seat.child.name, pid=seat.pid, code=code, again_s=seat.pause)
    return code


def _ended(seat: _Seat, selector: selectors.BaseSelector) -> int:
    """Wait for a child's end, and return its exit status, or minus the signal that ended it."""
    selector.unregister(seat.pidfd)
    _, status = os.waitpid(seat.pid, 0)
    os.close(seat.pidfd)
    seat.pidfd = -1
    return os.waitstatus_to_exitcode(status)


def _longer(pause: float) -> float:
    return min(LONGEST_PAUSE_S, pause * 2 if pause else FIRST_PAUSE_S)


def _end_all(seats: Sequence[_Seat], selector: selectors.BaseSelector) -> None:
    for seat in seats:
        if seat.alive:
            signal.pidfd_send_signal(seat.pidfd, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while any(seat.alive for seat in seats) and (left := until - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            if isinstance(key.data, _Seat):
                code = _ended(key.data, selector)
                log.info("site.ended", child=key.data.child.name, code=code)
            else:
                key.fileobj.recv(64)  # type: ignore[union-attr] # the socket of _signals
    for seat in seats:
        if seat.alive:
            signal.pidfd_send_signal(seat.pidfd, signal.SIGKILL)
            log.warning("site.ended", child=seat.child.name, code=_ended(seat, selector))


@contextmanager
def _signals() -> Iterator[tuple[socket.socket, list[int]]]:
    """A socket that is readable when a stop signal came, and the list that it is then in."""
    stopping: list[int] = []
    woken, wake = socket.socketpair()
    woken.settimeout(0)
    wake.settimeout(0)
    before = {
        each: signal.signal(each, lambda number, _: stopping.append(number)) for each in _STOP
    }
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        yield woken, stopping
    finally:
        signal.set_wakeup_fd(-1)
        for each, handler in before.items():
            signal.signal(each, handler)
        woken.close()
        wake.close()
