"""Bringing a machine to on or off, whatever protocol its BMC speaks.

Rule: a verb says what shall be, reads first, and reads back until it is so or time is up.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NoEffect, Unreachable

_SETTLING_S: Final = 30.0


class Powered(ABC):
    """The power of one machine, over one login at its BMC.  Every method raises DriverError."""

    def __init__(
        self,
        address: str,
        deadline: Deadline,
        pause: Callable[[float], object],
        doing: Callable[[str], None],
    ) -> None:
        self._address = address
        self._deadline = deadline
        self._pause = pause
        self._doing = doing
        self._state = "unknown"

    def power(self) -> str:
        """Return the power state as the BMC says it now: on, off, poweringon, ... or unknown."""
        self._state = self._read_power()
        return self._state

    def ensure_power(self, *, on: bool, force: bool = False) -> dict[str, Any]:
        """Bring the machine to on or off, and return when the BMC says that it is.

        Off is asked of the operating system first, unless *force*; after half of the time it
        is forced.  Returns {power, changed}.
        """
        wanted = "on" if on else "off"
        state = self.power()
        if state == wanted:
            return {"power": wanted, "changed": False}
        if state == f"powering{wanted}" and self._reached(wanted, _SETTLING_S):
            return {"power": wanted, "changed": True}
        if not on and not force and self._ended():
            return {"power": wanted, "changed": True}
        self._switch(wanted)
        if self._reached(wanted, self._deadline.left):
            return {"power": wanted, "changed": True}
        raise NoEffect(f"{self._address}: took the order, and is {self._state} all the same")

    def reboot(self, *, force: bool = False) -> dict[str, Any]:
        """Bring the machine to off, then to on: no BMC can prove that a reset happened."""
        self.ensure_power(on=False, force=force)
        return self.ensure_power(on=True)

    @abstractmethod
    def _read_power(self) -> str:
        """Ask the BMC for the power state."""

    @abstractmethod
    def _switch(self, wanted: str) -> None:
        """Order the power *wanted*, on or off; no harm if it is so already."""

    @abstractmethod
    def _ask_to_end(self) -> bool:
        """Ask the operating system to end; whether this BMC can ask."""

    def _ended(self) -> bool:
        return self._ask_to_end() and self._reached("off", self._deadline.left / 2)

    def _reached(self, wanted: str, seconds: float) -> bool:
        until = self._deadline.within(seconds)
        wait = 0.1
        while True:
            with suppress(Unreachable):  # busy with the order itself: ask again
                if self.power() == wanted:
                    return True
            if until.left <= 0:
                return False
            self._doing(f"waiting for power {wanted}, it is {self._state}")
            self._pause(min(wait, until.left))
            wait = min(wait * 1.5, 2.0)
