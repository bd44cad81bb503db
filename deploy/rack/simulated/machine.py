"""A simulated machine: the power button of `deploy.rack.power` in front of a task of one loop."""

import asyncio
import logging
from typing import Final

from deploy.rack import boot, power
from deploy.rack.boot import Enabled, First, Override, Target
from deploy.rack.hardware import Hardware
from deploy.rack.power import Act, PowerState, Reset
from deploy.rack.simulated.boots import Boot, End, NoBoot, Silent, Surroundings
from deploy.rack.simulated.drive import Drive
from deploy.rack.simulated.pace import Order

log = logging.getLogger(__name__)

_DEVICES: Final = {
    Order.NETWORK: (First.NETWORK, First.DISK),
    Order.DISK: (First.DISK, First.NETWORK),
}


class SimulatedMachine:
    """Starts Off.  Everything happens in the event loop that the methods are called in."""

    disc = None
    """It has no virtual CD: nothing that lies on one could be played."""

    def __init__(self, hardware: Hardware, drive: Drive, around: Surroundings) -> None:
        self.hardware = hardware
        self.fault = ""
        self.state = PowerState.OFF
        self.override = boot.NO_OVERRIDE
        self._drive = drive
        self._around = around
        self._boot: Boot | None = None
        self._life: asyncio.Task[None] | None = None
        self._button: asyncio.Task[None] | None = None

    def set_override(self, override: Override) -> None:
        self.override = override

    def press(self, reset: Reset) -> None:
        """Begin *reset* and return at once, or raise WrongState."""
        act = power.act_for(reset, self.state)
        self.state = power.MEANWHILE[act]
        if self._button:
            self._button.cancel()  # who cuts the power does not wait for an orderly shutdown
        self._button = asyncio.create_task(self._do(act))

    def close(self) -> None:
        """Pull the plug."""
        for task in (self._button, self._life):
            if task:
                task.cancel()

    async def _do(self, act: Act) -> None:
        pace = self._around.pace
        await pace.pass_(pace.button)
        if act in {Act.ASK, Act.ASK_AND_LAUNCH}:
            if not (self._boot and self._boot.listens):
                await asyncio.sleep(pace.grace)
                self.state = PowerState.ON
                return
            await pace.pass_(pace.stop)
        self._cut()
        if act in {Act.LAUNCH, Act.CUT_AND_LAUNCH, Act.ASK_AND_LAUNCH}:
            self._life = asyncio.create_task(self._live())
            self.state = PowerState.ON

    def _cut(self) -> None:
        if self._life:
            self._life.cancel()
        self._life = self._boot = None
        self.state = PowerState.OFF

    async def _live(self) -> None:
        """Boot again and again, until something powers the machine off from inside."""
        try:
            while await self._boots() is End.REBOOT:
                log.info("machine.rebooted", extra={"machine": self.hardware.name})
        except Exception:
            log.exception("machine.broken", extra={"machine": self.hardware.name})
            return  # it hangs, as a machine would: on, and of no use
        if self._button:
            self._button.cancel()
        self.state = PowerState.OFF

    async def _boots(self) -> End:
        """Post, and try the devices in their order until one boots: for ever, as firmware does."""
        pace, devices = self._around.pace, self._devices()
        await pace.pass_(pace.post)
        pauses = iter(pace.again)
        pause = 0.0
        while True:
            for device in devices:
                self._boot = Boot(self.hardware, self._drive, self._around)
                try:
                    return await self._boot.start(device)
                except Silent as exc:
                    self._failed(device, exc)
                    break
                except NoBoot as exc:
                    self._failed(device, exc)
            pause = next(pauses, pause)
            await asyncio.sleep(pause)

    def _devices(self) -> tuple[First, ...]:
        """Return what to try; a boot uses up an override that was for once."""
        overridden = self.override.enabled is not Enabled.DISABLED
        disk = self.override.target is Target.HDD
        first, self.override = boot.consume(self.override)
        if not overridden:
            return _DEVICES[self._around.pace.order]
        return (First.DISK, First.NETWORK) if disk else (first, First.DISK)

    def _failed(self, device: First, why: NoBoot) -> None:
        facts = {"machine": self.hardware.name, "device": device, "why": str(why)}
        log.info("machine.not-booted", extra=facts)
