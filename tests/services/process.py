"""What the services have in common: free ports, waiting until ready, stopping by pid."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any


class NotReady(Exception):
    """A service did not come up; carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Return *count* different loopback TCP ports that nobody listens on now.

    Below Linux's ephemeral ports: from those somebody's outgoing connection may take the port of a
    server that is just being restarted, even the connection that looks whether it is back.  For
    the same reason each worker of a run has a part of them to itself and gives each once in a
    round, and they lie below those where `sprout up` looks for its BMCs' (edge/cli/racks.py).
    """
    ports: list[int] = []
    while len(ports) < count:
        port = next(_PORTS)
        if _is_free(port):
            ports.append(port)
    return ports


def _own_ports() -> Iterator[int]:
    """Go round this worker's part for ever, from anywhere: other runs may be on this machine."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
    part = range(11_000 + worker, 21_000, _PARTS)
    begun = random.randrange(len(part))
    return cycle([*part[begun:], *part[:begun]])


_PARTS = 16
_PORTS = _own_ports()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def launch(command: list[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start *command* in a session of its own, so that its group can be ended as one."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            **options,
        )


def wait_until_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], object], log: Path, *, seconds: float
) -> None:
    """Poll *ready* until it returns without raising OSError, or raise NotReady with the log."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ready()
        except OSError as exc:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            tail = log.read_text(errors="replace")[-3000:]
            raise NotReady(f"{process.args!r}\n{tail}") from exc
        else:
            return


ENDING_S = 90
"""PostgreSQL writes all it has to the disk before it ends, and the disk is shared."""


def stop(process: subprocess.Popen[bytes], *, how: signal.Signals = signal.SIGKILL) -> None:
    """End the process group that :func:`launch` made, and wait for its leader."""
    if process.poll() is None:
        _signal_group(process.pid, how)
    try:
        process.wait(timeout=ENDING_S)
    finally:
        _signal_group(process.pid, signal.SIGKILL)


def _signal_group(leader: int, how: signal.Signals) -> None:
    try:
        os.killpg(leader, how)
    except ProcessLookupError:
        return
