"""Connections handed from one process to another over a Unix socket, with what came of them.

The scripts' process accepts; a connection that asks for a file goes to the files' process, and
comes back when it asks for something else.  Neither waits for the other: who cannot hand over
serves by itself.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pxe_stack.http_loop import Loop

SOCKET: Final = "files.sock"
MOST: Final = 96 * 1024
"""Bytes that may have come of a connection; more than a line ever keeps."""


class Channel:
    """One end between two processes; what comes through it is adopted by *loop*.

    *ended* is called when the other end has gone.
    """

    def __init__(self, sock: socket.socket, loop: Loop, ended: Callable[[], None]) -> None:
        self._sock = sock
        self._loop = loop
        self._ended = ended
        sock.settimeout(0)
        loop.watch(sock.fileno(), self._receive)

    def send(self, sock: socket.socket, received: bytes) -> bool:
        """Hand *sock* over; False when the other end cannot take it now."""
        try:
            socket.send_fds(self._sock, [received], [sock.fileno()])
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hand nothing over any more."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _receive(self) -> None:
        for _ in range(64):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, MOST, 4)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not descriptors:
                self.close()
                self._ended()
                return
            for descriptor in descriptors:
                self._loop.adopt(socket.socket(fileno=descriptor), data)


class Giver:
    """The scripts' end: finds the files' process in *folder*, again when that was started anew."""

    def __init__(self, folder: Path, loop: Loop) -> None:
        self._folder = folder
        self._loop = loop
        self._channel: Channel | None = None

    def send(self, sock: socket.socket, received: bytes) -> bool:
        """Hand *sock* over; False when nobody is there to take it."""
        if self._channel is None and not self._connect():
            return False
        assert self._channel is not None  # noqa: S101 - connected
        return self._channel.send(sock, received)

    def close(self) -> None:
        """Hand nothing over any more."""
        if self._channel is not None:
            self._channel.close()

    def _connect(self) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with _short(self._folder) as name:
                sock.connect(name)
        except OSError:
            sock.close()
            return False
        self._channel = Channel(sock, self._loop, self._lost)
        return True

    def _lost(self) -> None:
        self._channel = None


class Taker:
    """The files' end: takes what scripts' processes hand over, and can hand it back."""

    def __init__(self, folder: Path, loop: Loop) -> None:
        self._loop = loop
        self._channels: list[Channel] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with suppress(FileNotFoundError):
            (folder / SOCKET).unlink()
        with _short(folder) as name:
            self._listener.bind(name)
        self._listener.listen(8)
        self._listener.settimeout(0)
        loop.watch(self._listener.fileno(), self._accept)

    def send(self, sock: socket.socket, received: bytes) -> bool:
        """Hand *sock* back; False when nobody is there to take it."""
        return any(channel.send(sock, received) for channel in self._channels[-1:])

    def close(self) -> None:
        """Take nothing any more."""
        for channel in self._channels:
            channel.close()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            made: list[Channel] = []
            made.append(Channel(sock, self._loop, lambda: self._channels.remove(made[0])))
            self._channels.append(made[0])


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name for the socket in *folder* that is short enough for one (108 bytes)."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
