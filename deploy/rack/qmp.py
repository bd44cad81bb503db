"""QEMU's monitor: the power button and the reason of the end.

Source: QEMU Machine Protocol; one JSON object a line.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

GUEST_RESET: Final = "guest-reset"
"""The reason QEMU gives when the guest rebooted and `-action reboot=shutdown` ended it."""

_PATIENCE: Final = 30.0
"""Seconds that QEMU may take to come up on a crowded host."""


class Monitor:
    """One connection: greet first, then one thread reads to the end."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lines = connected.makefile("rb")

    def greet(self) -> None:
        """Raise OSError when QEMU died or does not answer within 30 s."""
        self._socket.settimeout(_PATIENCE)
        if "QMP" not in self._read():
            raise ConnectionError("QEMU did not greet")
        self._send("qmp_capabilities")
        while "return" not in (answer := self._read()):
            if "error" in answer:
                raise ConnectionError(f"QEMU refused: {answer['error']}")
        self._socket.settimeout(None)

    def power_button(self) -> None:
        """Press the button for the guest's ACPI to see; nothing happens when QEMU is gone."""
        with suppress(OSError):
            self._send("system_powerdown")

    def _send(self, command: str) -> None:
        self._socket.sendall(json.dumps({"execute": command}).encode() + b"\n")

    def shutdown_reason(self) -> str:
        """Read until QEMU is gone; return the reason it gave, or an empty string."""
        reason = ""
        for message in self._messages():
            if message.get("event") == "SHUTDOWN":
                reason = message["data"]["reason"]
        return reason

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("QEMU ended at once")
        message: dict[str, Any] = json.loads(line)
        return message

    def _messages(self) -> Iterator[dict[str, Any]]:
        try:
            while True:
                yield self._read()
        except OSError:
            return
