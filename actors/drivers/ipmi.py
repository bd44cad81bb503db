"""BMCs that speak only IPMI 2.0 (RMCP+), by ipmitool: power, boot device, identity.

Commands are sent as bytes and read as bytes: the words that ipmitool prints differ by version.
The password goes by the environment, never by an argument, which everybody on a host can read.

Source: Intelligent Platform Management Interface Specification v2.0 rev 1.1, §22 and §28.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from actors.drivers import inventory, outbound, reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Garbled, NoEffect, NotAllowed, Refused, Unreachable
from actors.drivers.power import Powered
from actors.drivers.systems import Target

TOOL: Final = "ipmitool"
PORT: Final = 623
MOST_PASSWORD: Final = 20
"""Bytes of an IPMI 2.0 password (§22.30)."""

SOURCES: Final[Mapping[str, int]] = MappingProxyType(
    {"none": 0x00, "pxe": 0x04, "disk": 0x08, "cd": 0x14, "bios": 0x18}
)
"""Boot device selectors by our words (§28.12, parameter 5, data 2)."""

DONE: Final = 200
"""The status of a call that the BMC completed with 00h; a call that it refused has its code."""

_CALL_S: Final = 15.0
_CIPHERS: Final = ("17", "3")
"""Suites that authenticate and encrypt, the better one first (§22.15.2)."""

_OTHER_CIPHER: Final = ("invalid authentication algorithm", "no matching cipher suite")
_STRANGER: Final = ("HMAC is invalid", "unauthorized name", "insufficient privilege")
_CODE: Final = re.compile(r"rsp=0x([0-9a-f]{2})")
_BUSY: Final = frozenset({0xC0, 0xC3, 0xCE, 0xCF})
"""Completion codes that may pass: busy, timeout, cannot respond, duplicated (§5.2)."""

_STATUS: Final = (0x00, 0x01)
_CONTROL: Final = (0x00, 0x02)
_SET_BOOT: Final = (0x00, 0x08)
_GET_BOOT: Final = (0x00, 0x09)
_GUID: Final = (0x06, 0x37)
_ORDERS: Final = MappingProxyType({"off": 0x00, "on": 0x01})
_SOFT: Final = 0x05
_KEEP_VALID: Final = (0x03, 0x08)
"""Parameter 3: the boot flags outlive the 60 s after a reset by command that else clear them."""

_VALID, _PERSISTENT, _EFI = 0x80, 0x40, 0x20


@contextmanager
def connected(
    target: Target,
    *,
    rules: reach.Rules,
    deadline: Deadline,
    seen: Callable[[outbound.Call], None],
    pause: Callable[[float], object] = time.sleep,
    permit: Callable[[str, str], None] = lambda _method, _url: None,
    doing: Callable[[str], None] = lambda _: None,
    **_sessions: object,
) -> Iterator["Machine"]:
    """Lead the machine at *target* for the block.  Raises DriverError; see `redfish.connected`.

    Sessions are the tool's: one for each exchange.
    """
    line = _Line(target, rules, deadline, seen, permit)
    yield Machine(line, target, deadline, pause, doing)


class Machine(Powered):
    """The verbs on one machine.  Every method raises DriverError."""

    def __init__(
        self,
        line: "_Line",
        target: Target,
        deadline: Deadline,
        pause: Callable[[float], object],
        doing: Callable[[str], None],
    ) -> None:
        super().__init__(target.address, deadline, pause, doing)
        self._line = line
        self.record: dict[str, Any] = {}
        """What the last inventory was made of."""

    def set_boot_source(
        self,
        source: str,
        *,
        persistent: bool = False,
        mode: str | None = None,
        http_boot_uri: str = "",
    ) -> dict[str, Any]:
        """Override where the machine boots from.  See `redfish.Machine.set_boot_source`."""
        if http_boot_uri:
            raise Refused(f"{self._address}: IPMI boots from no URI, from {http_boot_uri} or other")
        device = SOURCES.get(source)
        if device is None or mode not in {None, "bios", "uefi"}:
            raise Refused(f"{self._address}: IPMI has no such boot source: {source}, {mode}")
        flags = _VALID | (_PERSISTENT if persistent else 0) | (_EFI if mode == "uefi" else 0)
        self._line.write("boot flags' life", *_SET_BOOT, *_KEEP_VALID)
        self._line.write(f"boot device {source}", *_SET_BOOT, 0x05, flags, device, 0, 0, 0)
        return self._read_back(source, device)

    def insert_media(self, url: str) -> dict[str, Any]:
        """Refuse: IPMI has none."""
        raise Refused(f"{self._address}: IPMI has no virtual media, for {url} or any other")

    def eject_media(self) -> dict[str, Any]:
        """Say that nothing is there."""
        return {"image": "", "changed": False}

    def inventory(self) -> dict[str, Any]:
        """Return the facts of `inventory.facts`: IPMI tells the power, and hardly more.

        The GUID is kept as evidence only: its byte order differs from BMC to BMC.
        """
        self.record = {"guid": self._line.read("system GUID", *_GUID, least=16).hex()}
        untold = dict.fromkeys(("processors", "memory", "disks", "nics"), "IPMI does not tell")
        system = {"PowerState": self.power()}
        return inventory.facts(inventory.Documents(system=system, missing=untold))

    def _read_power(self) -> str:
        state = self._line.read("chassis status", *_STATUS, least=3)
        return "on" if state[0] & 0x01 else "off"

    def _switch(self, wanted: str) -> None:
        self._line.write(f"power {wanted}", *_CONTROL, _ORDERS[wanted])

    def _ask_to_end(self) -> bool:
        try:
            self._line.write("power soft", *_CONTROL, _SOFT)
        except Refused:
            return False  # optional (§28.3)
        return True

    def _read_back(self, source: str, device: int) -> dict[str, Any]:
        _, _, flags, kept, *_ = self._line.read("boot flags", *_GET_BOOT, 5, 0, 0, least=4)
        if kept & 0x3C != device:
            raise NoEffect(f"{self._address}: took the boot device {source}, and keeps {kept:#04x}")
        lasting = "Continuous" if flags & _PERSISTENT else "Once"
        return {
            "source": source,
            "enabled": lasting if device else "Disabled",
            "mode": "UEFI" if flags & _EFI else "Legacy",
        }


class _Line:
    """Exchanges with one BMC: each is a session of its own, and ends in time."""

    def __init__(
        self,
        target: Target,
        rules: reach.Rules,
        deadline: Deadline,
        seen: Callable[[outbound.Call], None],
        permit: Callable[[str, str], None],
    ) -> None:
        self._target = target
        self._rules = rules
        self._deadline = deadline
        self._seen = seen
        self._permit = permit
        self._ciphers = list(_CIPHERS)
        self._host, self._port = _place(target.address)
        if len(target.password.reveal().encode()) > MOST_PASSWORD:
            raise Refused(f"{target.address}: IPMI knows no password of over {MOST_PASSWORD} bytes")

    def read(self, name: str, *command: int, least: int) -> bytes:
        """Return the bytes of the answer, *least* of them.  Raises DriverError."""
        found = self._exchange("GET", name, command)
        if len(found) < least:
            raise Garbled(f"{self._target.address}: {name}: an answer of {len(found)} bytes")
        return found

    def write(self, name: str, *command: int) -> None:
        """Send an order, once it is permitted.  Raises DriverError."""
        self._permit("SET", name)
        self._exchange("SET", name, command)

    def _exchange(self, method: str, name: str, command: tuple[int, ...]) -> bytes:
        began, at, status = time.monotonic(), time.time(), 0
        try:
            done = self._asked(command)
            code = _CODE.search(done.stderr)
            status = int(code[1], 16) if code else DONE * (done.returncode == 0)
            return self._judged(name, done, status)
        finally:
            self._seen(outbound.Call(method, name, status, at, time.monotonic() - began))

    def _judged(self, name: str, done: "subprocess.CompletedProcess[str]", status: int) -> bytes:
        where = f"{self._target.address}: {name}"
        if done.returncode == 0:
            try:
                return bytes.fromhex(done.stdout)
            except ValueError:
                raise Garbled(f"{where}: no bytes") from None
        said = self._target.clean(done.stderr.strip().rpartition("\n")[2])
        if any(each in done.stderr for each in _STRANGER):
            raise Refused(f"{where}: the BMC does not know this user and password: {said}")
        if status and status not in _BUSY:
            raise Refused(f"{where}: the BMC refuses it: {said}")
        raise Unreachable(f"{where}: {said or 'no answer'}")

    def _asked(self, command: tuple[int, ...]) -> "subprocess.CompletedProcess[str]":
        """Run the tool with the suites that are left, until one is spoken at both ends."""
        while True:
            done = self._run(self._ciphers[0], command)
            strange = any(each in done.stderr for each in _OTHER_CIPHER)
            if not strange or len(self._ciphers) == 1:
                return done
            self._ciphers.pop(0)

    def _run(self, cipher: str, command: tuple[int, ...]) -> "subprocess.CompletedProcess[str]":
        seconds = min(_CALL_S, self._deadline.left)
        if seconds <= 0:
            raise Unreachable(f"{self._target.address}: no time is left")
        try:
            address = outbound.address_of(self._rules, self._host, self._port)
            return subprocess.run(
                [
                    *(TOOL, "-v", "-I", "lanplus", "-H", address, "-p", str(self._port)),
                    *("-U", self._target.username, "-E", "-C", cipher, "-N", "2", "-R", "2"),
                    *("raw", *map(hex, command)),
                ],
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "IPMI_PASSWORD": self._target.password.reveal(),
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError:
            raise Refused(f"this agent has no {TOOL}: install it there") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{self._target.address}: no answer in {seconds:.0f} s") from None
        except OSError as exc:
            raise Unreachable(f"{self._target.address}: {exc}") from exc


def _place(address: str) -> tuple[str, int]:
    """Return host and port of `ipmi://HOST[:PORT]` or of a bare host.  Raises NotAllowed."""
    try:
        parts = urlsplit(address if "://" in address else f"ipmi://{address}")
        host, port = parts.hostname or "", parts.port or PORT
    except ValueError as exc:
        raise NotAllowed(f"not an address: {exc}") from exc
    if parts.scheme != "ipmi" or not host or host.startswith("-") or parts.path.strip("/"):
        raise NotAllowed("want ipmi://HOST[:PORT], or a host, for a BMC that speaks IPMI")
    return host, port
