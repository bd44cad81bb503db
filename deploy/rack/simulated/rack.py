"""A simulated rack: machines, BMCs and the relay that they are behind, as long as it is open."""

import asyncio
import json
import os
import resource
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.rack import leftovers
from deploy.rack.hardware import Firmware, Hardware
from deploy.rack.redfish.service import Credentials, Service
from deploy.rack.simulated.boots import Surroundings
from deploy.rack.simulated.drive import Drive
from deploy.rack.simulated.front import Fronts
from deploy.rack.simulated.machine import SimulatedMachine
from deploy.rack.simulated.pace import Pace
from deploy.rack.simulated.relay import Relay
from deploy.rack.simulated.units import bmc_address, unit
from deploy.rack.simulated.writes import Writes

USERNAME: Final = "admin"
PASSWORD_FILE: Final = "bmc-password"  # noqa: S105 - the name of a file
WRITES_FILE: Final = "bmc-writes.jsonl"
DRIVES: Final = "drives"
CIDR: Final = "127.64.0.0/16"
"""All of 127/8 is ours on Linux: any user can speak from any address of it, and nothing leaves."""

_SPARE_FILES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What rack is wanted.  *dhcp* is where the relay passes requests on to."""

    state: Path
    machines: int
    name: str = "simulated"
    firmware: Firmware = Firmware.UEFI
    dhcp: tuple[str, int] = ("127.64.0.1", 67)
    tftp_port: int = 69
    relay: str = "127.64.0.2"
    bmc_port: int = 0
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class SimulatedRack:
    """A rack that runs."""

    order: Order
    machines: tuple[SimulatedMachine, ...]
    bmc_port: int
    writes: Path

    def describe(self) -> dict[str, Any]:
        """Return what rack.json says."""
        return {
            "simulated": True,
            "pid": os.getpid(),
            "firmware": str(self.order.firmware),
            "cidr": CIDR,
            "dhcp": "{}:{}".format(*self.order.dhcp),
            "tftp_port": self.order.tftp_port,
            "writes": str(self.writes),
            "machines": [self._machine(n, m.hardware) for n, m in enumerate(self.machines, 1)],
        }

    def _machine(self, number: int, hardware: Hardware) -> dict[str, Any]:
        disk = hardware.disk
        return {
            "name": hardware.name,
            "mac": hardware.mac,
            "serial": hardware.serial,
            "uuid": str(hardware.uuid),
            "disk": {"serial": disk.serial, "wwn": disk.wwn, "bytes": disk.size},
            "bmc": {
                "address": f"http://{bmc_address(number)}:{self.bmc_port}",
                "system": f"/redfish/v1/Systems/{hardware.uuid}",
                "username": USERNAME,
                "password_file": str(self.order.state / PASSWORD_FILE),
            },
        }


@asynccontextmanager
async def opened(order: Order) -> AsyncIterator[SimulatedRack]:
    """Run a rack for the block.  Raises leftovers.Occupied, OSError, ValueError."""
    _allow_files(order.machines)
    async with AsyncExitStack() as stack:
        stack.enter_context(leftovers.locked(order.state))
        writes = Writes(order.state / WRITES_FILE)
        stack.callback(writes.close)
        relay = await Relay.open(order.relay, order.dhcp)
        stack.callback(relay.close)
        around = Surroundings(relay=relay, tftp_port=order.tftp_port, pace=order.pace)
        machines = tuple(_machine(order, n, around) for n in range(1, order.machines + 1))
        port = await _listen(stack, order, machines, writes)
        for machine in machines:
            stack.callback(machine.close)
        rack = SimulatedRack(order, machines, port, writes.path)
        _write(order.state / leftovers.RACK_FILE, rack.describe())
        yield rack


def _machine(order: Order, number: int, around: Surroundings) -> SimulatedMachine:
    hardware = unit(order.name, number, order.firmware)
    drives = order.state / DRIVES
    drives.mkdir(mode=0o700, exist_ok=True)
    return SimulatedMachine(hardware, Drive(drives / f"{hardware.name}.json"), around)


async def _listen(
    stack: AsyncExitStack, order: Order, machines: tuple[SimulatedMachine, ...], writes: Writes
) -> int:
    """Open the BMCs: all at one port, the same as the last time unless that is taken."""
    credentials = Credentials(USERNAME, _password(order.state / PASSWORD_FILE))
    services = [Service(machine, credentials) for machine in machines]
    first, rest = services[:1], services[1:]
    port = order.bmc_port or _port_of_last_time(order.state)
    try:
        fronts = await Fronts.open([(one, (bmc_address(1), port)) for one in first], writes)
    except OSError:
        if order.bmc_port or not port:
            raise
        fronts = await Fronts.open([(one, (bmc_address(1), 0)) for one in first], writes)
    stack.callback(fronts.close)
    port = fronts.ports[0]
    others = [(one, (bmc_address(n), port)) for n, one in enumerate(rest, 2)]
    stack.callback((await Fronts.open(others, writes)).close)
    return port


def _port_of_last_time(state: Path) -> int:
    try:
        rack = json.loads((state / leftovers.RACK_FILE).read_text(encoding="utf-8"))
        return int(rack["machines"][0]["bmc"]["address"].rpartition(":")[2])
    except (OSError, ValueError, LookupError, TypeError):
        return 0


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(18), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _allow_files(machines: int) -> None:
    """A BMC's listener, its connection and what its machine downloads by are open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, machines * 4 + _SPARE_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _write(target: Path, description: dict[str, Any]) -> None:
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    draft.rename(target)


async def run(order: Order, ending: asyncio.Event) -> None:
    """Run a rack until *ending*; print one line of JSON when its BMCs answer."""
    async with opened(order) as rack:
        print(json.dumps(rack.describe()), flush=True)
        await ending.wait()
