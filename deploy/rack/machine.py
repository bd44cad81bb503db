"""A machine that can be switched on: one thread, one QEMU process at a time.

Callers judge and change the power state under a lock and leave the work in the inbox; only the
machine's own thread starts and ends processes, one message after the other.  That thread lives
as long as the machine, since its end would end QEMU too (see children.start).
"""

import logging
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue
from threading import Condition, Thread, Timer
from typing import Final

from deploy.rack import boot, power, qemu
from deploy.rack.disc import Disc
from deploy.rack.emulator import Place, Running, furnish
from deploy.rack.hardware import Hardware
from deploy.rack.power import Act, PowerState, Reset
from deploy.rack.qmp import GUEST_RESET
from deploy.rack.serial import SerialLog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How a guest is asked to go."""

    grace: float = 30.0
    """Seconds it may take to obey the power button, before it counts as not listening."""
    insist: bool = False
    """Whether it is cut off then; else it is On again, as BMCs do it."""


PATIENT: Final = Patience()


class Then(Enum):
    """What follows the end of the process."""

    OFF = auto()
    LAUNCH = auto()
    AS_THE_GUEST_SAYS = auto()


_THEN: Final = {
    Act.LAUNCH: Then.AS_THE_GUEST_SAYS,
    Act.CUT: Then.OFF,
    Act.CUT_AND_LAUNCH: Then.LAUNCH,
    Act.ASK: Then.AS_THE_GUEST_SAYS,
    Act.ASK_AND_LAUNCH: Then.LAUNCH,
}


@dataclass(frozen=True, slots=True)
class Ended:
    run: Running
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The guest did not obey the power button."""

    run: Running


class Machine:
    """The hardware, its disk and its power button.  Starts Off; the disk outlives the object."""

    def __init__(self, hardware: Hardware, place: Place, patience: Patience = PATIENT) -> None:
        furnish(hardware, place.folder)
        self.hardware = hardware
        self.place = place
        self.disc = Disc(place.folder)
        self.serial = SerialLog(place.folder / qemu.SERIAL_LOG)
        self.fault = ""
        self._patience = patience
        self._state = PowerState.OFF
        self._override = boot.NO_OVERRIDE
        self._changed = Condition()
        self._inbox: SimpleQueue[Act | Ended | Ignored | None] = SimpleQueue()
        self._run: Running | None = None
        self._then = Then.OFF
        self._timer: Timer | None = None
        self._thread = Thread(target=self._work, name=hardware.name, daemon=True)
        self._thread.start()

    @property
    def state(self) -> PowerState:
        return self._state

    @property
    def override(self) -> boot.Override:
        return self._override

    def set_override(self, override: boot.Override) -> None:
        with self._changed:
            self._override = override

    def press(self, reset: Reset) -> None:
        """Begin *reset* and return at once, or raise WrongState."""
        with self._changed:
            act = power.act_for(reset, self._state)
            self._become(power.MEANWHILE[act])
            self._inbox.put(act)

    def start(self, timeout: float = 60.0) -> None:
        """Switch on; return when On.  Raise WrongState when on already, TimeoutError."""
        self.press(Reset.ON)
        self.wait_for(PowerState.ON, timeout)

    def stop(self, timeout: float = 60.0) -> None:
        """Pull the plug; return when Off.  Raise WrongState when off already, TimeoutError."""
        self.press(Reset.FORCE_OFF)
        self.wait_for(PowerState.OFF, timeout)

    def reset(self, timeout: float = 60.0) -> None:
        """Restart by force; return when On again.  Raise WrongState when off, TimeoutError."""
        self.press(Reset.FORCE_RESTART)
        self.wait_for(PowerState.ON, timeout)

    def wait_for(self, state: PowerState, timeout: float = 60.0) -> None:
        """Wait up to *timeout* seconds for the power state, or raise TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._state is state, timeout):
                name = self.hardware.name
                raise TimeoutError(f"{name} is {self._state}, not {state} {self.fault}")

    def close(self) -> None:
        """Pull the plug and end the thread."""
        self._inbox.put(Act.CUT)
        self._inbox.put(None)
        self._thread.join()

    def _work(self) -> None:
        closing = False
        while self._run or not closing:
            message = self._inbox.get()
            closing = closing or message is None
            if message is not None:
                self._do(message)

    def _do(self, message: Act | Ended | Ignored) -> None:
        match message:
            case Ended(run, reason):
                self._ended(run, reason)
            case Ignored(run):
                self._ignored(run)
            case Act.LAUNCH:
                self._launch()
            case _:
                self._bring_down(message)

    def _launch(self) -> None:
        if self._run:
            return  # two buttons were pressed around the end of one process
        with self._changed:
            self._become(PowerState.POWERING_ON)
            first, self._override = boot.consume(self._override)
        self._then = _THEN[Act.LAUNCH]
        name = self.hardware.name
        try:
            self._run = Running.start(self.hardware, first, self.place)
        except OSError as exc:
            self.fault = str(exc)
            log.exception("machine.broken", extra={"machine": name})
            self._settle(PowerState.OFF)
            return
        self.fault = ""
        self._run.watch(lambda run, reason: self._inbox.put(Ended(run, reason)))
        log.info("machine.started", extra={"machine": name, "first": first})
        self._settle(PowerState.ON, only_from=PowerState.POWERING_ON)

    def _bring_down(self, act: Act) -> None:
        self._then = _THEN[act]
        if self._run is None:
            # It ended by itself between the press of the button and now.
            self._after_the_end("", only_from=PowerState.POWERING_OFF)
        elif act in (Act.ASK, Act.ASK_AND_LAUNCH):
            self._ask(self._run)
        else:
            self._run.process.kill()

    def _ask(self, run: Running) -> None:
        run.monitor.power_button()
        self._timer = Timer(self._patience.grace, self._inbox.put, [Ignored(run)])
        self._timer.daemon = True
        self._timer.start()

    def _ignored(self, run: Running) -> None:
        if run is not self._run or self._state is not PowerState.POWERING_OFF:
            return
        log.warning("machine.ignored-button", extra={"machine": self.hardware.name})
        if self._patience.insist:
            self._then = Then.LAUNCH if self._then is Then.LAUNCH else Then.OFF
            run.process.kill()
        else:
            self._then = Then.AS_THE_GUEST_SAYS
            self._settle(PowerState.ON, only_from=PowerState.POWERING_OFF)

    def _ended(self, run: Running, reason: str) -> None:
        if self._timer:
            self._timer.cancel()
        run.bury()
        self._run = None
        log.info("machine.ended", extra={"machine": self.hardware.name, "reason": reason})
        self._after_the_end(reason)

    def _after_the_end(self, reason: str, *, only_from: PowerState | None = None) -> None:
        rebooted = self._then is Then.AS_THE_GUEST_SAYS and reason == GUEST_RESET
        if rebooted or self._then is Then.LAUNCH:
            self._launch()
        else:
            self._settle(PowerState.OFF, only_from=only_from)

    def _settle(self, state: PowerState, *, only_from: PowerState | None = None) -> None:
        with self._changed:
            if only_from in (None, self._state):
                self._become(state)

    def _become(self, state: PowerState) -> None:
        """Change the state and tell who waits; the lock is held."""
        self._state = state
        self._changed.notify_all()
