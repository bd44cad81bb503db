"""The whole rack: its network, its machines and their BMCs, as long as the `with` lasts."""

import json
import logging
import os
import secrets
from contextlib import ExitStack
from ipaddress import IPv4Interface, IPv4Network
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deploy.rack import bridge, hardware, leftovers, netns
from deploy.rack.advertise import Advertiser
from deploy.rack.emulator import Place
from deploy.rack.hardware import Card, Firmware, Hardware
from deploy.rack.machine import PATIENT, Machine, Patience
from deploy.rack.redfish.endpoint import HOST, Endpoints, is_free
from deploy.rack.redfish.service import Credentials, Service

log = logging.getLogger(__name__)

USERNAME: Final = "admin"
PASSWORD_FILE: Final = "bmc-password"  # noqa: S105 - the name of a file
PORT_FILE: Final = "bmc-port"
GIB: Final = 1 << 30

_serials: Final = count(1)


class Rack:
    """`with Rack(folder, machines=2) as rack: rack.machines[0].start()`.

    The folder keeps disks, firmware settings and BMC passwords for the next rack there;
    everything else is gone when the `with` ends.  Needs root.
    """

    def __init__(
        self,
        state: Path,
        *,
        machines: int = 1,
        firmware: Firmware | str = Firmware.BIOS,
        name: str = "rack",
        cidr: str = "10.77.0.0/24",
        address: str = "10.77.0.1",
        namespace: str = "",
        memory_mib: int = 1024,
        disk_bytes: int = 4 * GIB,
        cores: int = 1,
        bmc_port: int = 0,
        patience: Patience = PATIENT,
        advertise: bool = True,
        secure_boot: bool = False,
        card: Card | str = Card.VIRTIO,
    ) -> None:
        """Raise ValueError when the numbers do not fit together.  Nothing is made yet.

        *advertise*: the rack answers router solicitations; else a site has to.
        """
        self.state = state.absolute()
        self.namespace = namespace or leftovers.own_name(next(_serials))
        self.gateway = _gateway(cidr, address)
        self.firmware = Firmware(firmware)
        self.machines: list[Machine] = []
        self._hardware = [
            hardware.build(
                name,
                number,
                firmware=self.firmware,
                memory_mib=memory_mib,
                disk_bytes=disk_bytes,
                cores=cores,
                secure_boot=secure_boot,
                card=Card(card),
            )
            for number in range(1, machines + 1)
        ]
        self._bmc_port = bmc_port
        self._patience = patience
        self._advertise = advertise
        self._ports: list[int] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Raise leftovers.Occupied when a living rack has the folder; OSError."""
        with ExitStack() as stack:
            stack.enter_context(leftovers.locked(self.state))
            for line in leftovers.sweep(self.state):
                log.warning("rack.swept", extra={"what": line})
            stack.callback(leftovers.sweep, self.state)
            self._raise_network(stack)
            self._rack_machines(stack)
            self._write()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def describe(self) -> dict[str, Any]:
        """Return what rack.json says."""
        return {
            "pid": os.getpid(),
            "netns": self.namespace,
            "bridge": bridge.NAME,
            "gateway": str(self.gateway.ip),
            "cidr": str(self.gateway.network),
            "firmware": str(self.firmware),
            "machines": [
                _describe(machine, port)
                for machine, port in zip(self.machines, self._ports, strict=True)
            ],
        }

    def _raise_network(self, stack: ExitStack) -> None:
        leftovers.claim(self.state, self.namespace)
        netns.create(self.namespace)
        taps = [hardware.name for hardware in self._hardware]
        bridge.raise_in(self.namespace, self.gateway, taps)
        if self._advertise:
            self._answer_solicitations(stack)

    def _answer_solicitations(self, stack: ExitStack) -> None:
        try:
            advertiser = Advertiser(self.namespace, bridge.NAME)
        except OSError as exc:
            log.warning("rack.no-ipv6", extra={"why": str(exc), "so": "iPXE waits 16 s a boot"})
        else:
            stack.callback(advertiser.close)

    def _rack_machines(self, stack: ExitStack) -> None:
        self.machines = [self._machine(hardware) for hardware in self._hardware]
        for machine in self.machines:
            stack.callback(machine.close)
        services = [Service(machine, _credentials(machine)) for machine in self.machines]
        endpoints = Endpoints(services, self._wanted_ports())
        stack.callback(endpoints.close)
        self._ports = endpoints.ports
        for machine, port in zip(self.machines, self._ports, strict=True):
            (machine.place.folder / PORT_FILE).write_text(str(port))

    def _wanted_ports(self) -> list[int]:
        """As told, else those of the last time: who knows a BMC's address keeps knowing it."""
        if self._bmc_port:
            return [self._bmc_port + number for number in range(len(self.machines))]
        return [_port_of_last_time(machine.place.folder) for machine in self.machines]

    def _machine(self, hardware: Hardware) -> Machine:
        place = Place(self.state / hardware.name, self.namespace, tap=hardware.name)
        return Machine(hardware, place, self._patience)

    def _write(self) -> None:
        target = self.state / leftovers.RACK_FILE
        draft = target.with_suffix(".draft")
        draft.write_text(json.dumps(self.describe(), indent=2) + "\n")
        draft.rename(target)


def _gateway(cidr: str, address: str) -> IPv4Interface:
    network = IPv4Network(cidr)
    gateway = IPv4Interface(f"{address}/{network.prefixlen}")
    if gateway.network != network:
        raise ValueError(f"{address} is not within {cidr}")
    return gateway


def _credentials(machine: Machine) -> Credentials:
    path = machine.place.folder / PASSWORD_FILE
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(18))
    return Credentials(USERNAME, path.read_text().strip())


def _port_of_last_time(folder: Path) -> int:
    """Return 0, any port, the first time and where another program has it now."""
    record = folder / PORT_FILE
    port = int(record.read_text()) if record.exists() else 0
    return port if is_free(port) else 0


def _describe(machine: Machine, port: int) -> dict[str, Any]:
    unit, folder = machine.hardware, machine.place.folder
    return {
        "name": unit.name,
        "mac": unit.mac,
        "serial": unit.serial,
        "uuid": str(unit.uuid),
        "disk": {"serial": unit.disk.serial, "wwn": unit.disk.wwn, "bytes": unit.disk.size},
        "memory_mib": unit.memory_mib,
        "bmc": {
            "address": f"http://{HOST}:{port}",
            "system": f"/redfish/v1/Systems/{unit.uuid}",
            "username": USERNAME,
            "password_file": str(folder / PASSWORD_FILE),
        },
        "serial_log": str(machine.serial.path),
        "console": str(folder / "console.sock"),
    }
