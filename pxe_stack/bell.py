"""The bell that wakes the agent when the journal has grown."""

import socket
from pathlib import Path


class Bell:
    """Wakes the agent, if it is there: it also looks by itself now and then."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def ring(self) -> None:
        try:
            self._socket.sendto(b"\0", self._path)
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()
