"""What a machine does when it is on: firmware, iPXE, the deploy system, its own disk."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from deploy.rack.boot import First
from deploy.rack.hardware import Firmware, Hardware
from deploy.rack.simulated import deploy, first_boot, http, installers, lease, packets, tftp
from deploy.rack.simulated.deploy import Deployment
from deploy.rack.simulated.drive import Drive, System
from deploy.rack.simulated.http import Answer, Unanswered
from deploy.rack.simulated.ipxe import script
from deploy.rack.simulated.ipxe.state import Abandoned, Failure, Fetched, Kernel, Program
from deploy.rack.simulated.lease import Lease, NoLease
from deploy.rack.simulated.pace import Pace
from deploy.rack.simulated.relay import Relay

log = logging.getLogger(__name__)

FIRST_PIECE: Final = 4096
"""Bytes of a kernel or initramfs that are fetched, where it is not fetched whole."""

_SYSTEM_TRIES: Final = (1.0,) * 40
"""udhcpc -t 40 -T 1, as the deploy system calls it."""
_IPXE_NAMES: Final = ("ipxe", "undionly", "snponly")
_PLATFORM: Final[Mapping[Firmware, str]] = {Firmware.BIOS: "pcbios", Firmware.UEFI: "efi"}
_SAID: Final[Mapping[int, str]] = {
    403: "Permission denied (https://ipxe.org/0216eb3c)",
    404: "No such file or directory (https://ipxe.org/2d0c613b)",
}


class NoBoot(Exception):
    """This device starts nothing: the firmware goes on to the next one."""


class Silent(NoBoot):
    """The network gave no usable answer: the firmware asks again."""


class End(Enum):
    """How a boot ended."""

    REBOOT = auto()
    POWER_OFF = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all machines of a rack have in common."""

    relay: Relay
    tftp_port: int
    pace: Pace


@dataclass(slots=True)
class Boot:
    """One power-on or reset of *unit*; *listens* when a system runs that obeys the button."""

    unit: Hardware
    drive: Drive
    around: Surroundings
    address: str = ""
    listens: bool = False

    async def start(self, device: First) -> End:
        """Boot from *device*, and return when what it started has ended.  Raises NoBoot."""
        if device is First.DISK:
            return await self._disk()
        return await self._network(over_http=device is First.HTTP)

    def say(self, text: str) -> None:
        """Write a line to the machine's console."""
        log.info("machine.said", extra={"machine": self.unit.name, "says": text})

    async def sleep(self, seconds: float) -> None:
        await self.around.pace.pass_(seconds)

    async def fetch(self, url: str, *, text: bool) -> Fetched:
        """Return a file for iPXE, or its first piece.  Raises Failure."""
        whole = text or self.around.pace.whole
        part = None if whole else (0, FIRST_PIECE)
        try:
            answer = await http.get(url, source=self.address, part=part)
        except Unanswered as exc:
            raise Failure(f"{exc} (https://ipxe.org/4c0a6035)") from exc
        return _fetched(answer)

    async def post(self, url: str, form: Mapping[str, str]) -> Fetched:
        """Return the answer to iPXE's form.  Raises Failure."""
        try:
            return _fetched(await http.post(url, form, source=self.address))
        except Unanswered as exc:
            raise Failure(f"{exc} (https://ipxe.org/4c0a6035)") from exc

    async def _network(self, *, over_http: bool) -> End:
        options = packets.of_http_firmware if over_http else packets.of_firmware
        told = await self._lease(options(self.unit))
        if not told.boot_file:
            raise NoBoot("no boot file name was received")
        program = await self._loader(told, over_http=over_http)
        if not _is_ipxe(told.boot_file, program):
            return await self._program(program)
        told = await self._lease(packets.of_ipxe(self.unit))
        if not told.boot_file.startswith("http://"):
            raise Silent(f"iPXE was given nothing to boot: {told.boot_file!r}")
        return await self._script(told)

    async def _lease(self, options: Mapping[int, bytes]) -> Lease:
        pace, relay = self.around.pace, self.around.relay
        try:
            told = await lease.obtain(relay, self.unit.mac, options, pace.patience)
        except NoLease as exc:
            raise Silent(str(exc)) from exc
        self.address = told.address
        return told

    async def _loader(self, told: Lease, *, over_http: bool) -> bytes:
        try:
            if over_http:
                return (await self.fetch(told.boot_file, text=True)).data
            server = (told.next_server, self.around.tftp_port)
            return await tftp.fetch(server, told.boot_file, source=told.address)
        except (tftp.Failed, Failure) as exc:
            raise Silent(f"{told.boot_file}: {exc}") from exc

    async def _script(self, told: Lease) -> End:
        known = {
            "mac": self.unit.mac,
            "ip": told.address,
            "platform": _PLATFORM[self.unit.firmware],
            "serial": self.unit.serial,
            "uuid": str(self.unit.uuid),
            "hostname": told.host_name,
        }
        try:
            file = await self.fetch(told.boot_file, text=True)
            outcome = await script.run(self, file.data.decode("utf-8", "replace"), known)
        except (Failure, Abandoned) as exc:
            raise Silent(f"iPXE: {exc}") from exc
        match outcome:
            case Kernel():
                return await self._kernel(outcome)
            case Program(data):
                return await self._program(data)
            case _:
                raise NoBoot("iPXE was left")

    async def _program(self, data: bytes) -> End:
        if b"GRUB" not in data:
            raise Silent("Exec format error (https://ipxe.org/2e008081)")
        return await self._disk()

    async def _kernel(self, started: Kernel) -> End:
        """The deploy system, or whatever else a kernel without an initramfs comes to."""
        named = deploy.argument(started.arguments, "initrd")
        if named not in started.initrds:
            self.say("Kernel panic - not syncing: VFS: Unable to mount root fs")
            await asyncio.Event().wait()  # for ever: somebody has to cut the power
        await self.around.pace.pass_(self.around.pace.kernel)
        try:
            seed = await self._deployed(started.arguments)
        except deploy.Failed as exc:
            self.say(f"FAILED in stage {exc.stage}: {exc.reason}")
            return End.POWER_OFF
        except deploy.Wiped:
            self.drive.wipe()
            self.say("wiped")
            return End.POWER_OFF
        self.drive.install(System(seed, first_boot.host_key()))
        self.say("installed")
        return End.REBOOT

    async def _deployed(self, arguments: str) -> dict[str, str]:
        wanted = deploy.argument(arguments, "BOOTIF").lower().removeprefix("01-").replace("-", ":")
        if wanted not in {"", self.unit.mac}:
            raise deploy.Failed("network", f"no network interface has the address '{wanted}'")
        relay, options = self.around.relay, packets.of_system(self.unit)
        try:
            told = await lease.obtain(relay, self.unit.mac, options, _SYSTEM_TRIES)
        except NoLease as exc:
            raise deploy.Failed("network", str(exc)) from exc
        pace = self.around.pace
        for word, installer in installers.PLAYED.items():
            if deploy.argument(arguments, word):
                return await installer(self.unit, told.address, pace, self.say).run(arguments)
        url = deploy.argument(arguments, "sprout.manifest")
        if not url:
            raise deploy.Failed("manifest", "the kernel command line has no sprout.manifest")
        return await Deployment(self.unit, told.address, pace, self.say).run(url)

    async def _disk(self) -> End:
        system = self.drive.system
        if system is None:
            raise NoBoot("no operating system on the disk")
        await self.around.pace.pass_(self.around.pace.start)
        self.listens = True
        try:
            if not system.home:
                await self._call_home(system)
            await asyncio.Event().wait()  # it runs until its power is cut or its button pressed
        finally:
            self.listens = False
        raise AssertionError("nothing sets that event")

    async def _call_home(self, system: System) -> None:
        try:
            source = first_boot.address(system.seed)
            pace = self.around.pace
            done = await first_boot.phone_home(system.seed, system.key, source=source, pace=pace)
        except first_boot.NoSeed as exc:
            self.say(str(exc))
            return
        if done:
            self.drive.install(replace(system, home=True))
        self.say("phoned home" if done else "phone_home failed; it is tried at the next boot")


def _fetched(answer: Answer) -> Fetched:
    if answer.status not in {200, 206}:
        why = _SAID.get(answer.status, f"HTTP {answer.status} (https://ipxe.org/3c0d6000)")
        raise Failure(why)
    return Fetched(answer.size, answer.body)


def _is_ipxe(name: str, program: bytes) -> bool:
    # BIOS builds are compressed, so that only their name tells.
    file = name.rpartition("/")[2]
    return b"iPXE" in program or file.startswith(_IPXE_NAMES)
