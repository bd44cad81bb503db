"""Network namespaces: made, removed, entered.

Python 3.11 has no os.setns, so that libc's is called through ctypes, in a thread that ends
afterwards: no other thread ever sees the namespace.  Sockets made there work from any thread.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

FOLDER: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


def create(name: str) -> None:
    """Make the namespace *name*; raise OSError when that fails."""
    ip("netns", "add", name)


def delete(name: str) -> None:
    """Remove the namespace *name*, and first its links: another process may still hold it."""
    if not exists(name):
        return
    script = "".join(f"link delete {link}\n" for link in links(name))
    ip("-n", name, "-force", "-batch", "-", script=script, check=False)
    ip("netns", "delete", name)


def exists(name: str) -> bool:
    return (FOLDER / name).exists()


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir()) if FOLDER.is_dir() else []


def links(name: str) -> list[str]:
    """Return the names of all links in the namespace but the loopback."""
    lines = ip("-n", name, "-brief", "link", "show", check=False).splitlines()
    found = [line.split()[0].partition("@")[0] for line in lines if line.strip()]
    return [link for link in found if link != "lo"]


def ip(*words: str, script: str | None = None, check: bool = True) -> str:
    """Run `ip` and return what it printed; *script* goes to its standard input."""
    done = subprocess.run(["ip", *words], input=script, text=True, capture_output=True, check=False)
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def command(name: str, *words: str) -> list[str]:
    """Return the command line that runs *words* inside; the process keeps its id."""
    return ["nsenter", f"--net={FOLDER / name}", "--", *words]


def inside(name: str, function: Callable[[], T]) -> T:
    """Call *function* in a thread of the namespace; return what it returns, or raise likewise."""
    outcome: Future[T] = Future()
    thread = Thread(target=_enter_and_call, args=(name, function, outcome), name=f"netns-{name}")
    thread.start()
    thread.join()
    return outcome.result()


def open_socket(name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Return a socket that lives in the namespace, for use from any thread."""
    return inside(name, lambda: socket.socket(family, kind, protocol))


def _enter_and_call(name: str, function: Callable[[], T], outcome: Future[T]) -> None:
    try:
        _enter(FOLDER / name)
        outcome.set_result(function())
    except BaseException as exc:  # noqa: BLE001 - handed to the caller's thread, whatever it is
        outcome.set_exception(exc)


def _enter(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
