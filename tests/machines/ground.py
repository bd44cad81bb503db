"""Machines with real firmware, and the site's real processes that boot them."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import UUID

from deploy.rack.boot import Enabled, Override, Target
from deploy.rack.hardware import Card, Firmware
from deploy.rack.machine import Machine
from deploy.rack.rack import Rack
from models.bootnet import BootNetwork, Mode
from models.bootplan import Addressing, BootPlan
from models.observations import Seen
from pxe_stack import render
from pxe_stack.net_store import Range
from pxe_stack.serve import Site
from pxe_stack.store import PlanStore
from tests.machines import boot_assets, evidence, ways
from tests.machines.plain_rom import PlainRom
from tests.machines.ways import GATEWAY, POOL, Stand, Way
from tests.pxe_stack import make
from tests.pxe_stack.lab import Boot, serving, sweep

CIDR = IPv4Network("10.77.0.0/24")
NETWORK = UUID(int=7)
SERVICES = ("dhcp", "tftp", "http", "files", "router")
MEMORY_MIB = 512
STEADY = ("no_timer_check",)
"""Linux looks whether the timer ticks; where many machines are emulated at once, it may be too late
for that look, and the kernel panics."""


@dataclass(frozen=True)
class Start:
    """How a machine boots.  *limit_s* is four times what it takes on an idle host.

    *secure*: its firmware starts only what Microsoft has signed.  *loader_dirs* are the site's.
    """

    firmware: Firmware
    limit_s: float
    target: Target = Target.PXE
    card: Card = Card.VIRTIO
    plain: bool = False
    secure: bool = False
    loader_dirs: tuple[Path, ...] = Site.loader_dirs


STARTS = {
    "bios-ipxe-rom": Start(Firmware.BIOS, 32.0),
    "bios-plain-rom": Start(Firmware.BIOS, 92.0, plain=True),
    "uefi-virtio": Start(Firmware.UEFI, 60.0),
    "uefi-e1000e": Start(Firmware.UEFI, 100.0, card=Card.E1000E),
    "uefi-http": Start(Firmware.UEFI, 64.0, target=Target.UEFI_HTTP),
}


@dataclass(frozen=True)
class Ground:
    """A rack of machines, and a site that serves them."""

    rack: Rack
    boot: Boot
    start: Start

    def switch_on(self) -> float:
        """Switch all machines on; return when, in seconds since the epoch."""
        begun = time.time()
        for machine in self.rack.machines:
            machine.set_override(Override(self.start.target, Enabled.CONTINUOUS))
            machine.start()
        return begun

    def wait_for(self, kind: Seen, number: int = 1) -> list:
        """Return the rows of *kind* once there are *number*, within the limit of this start."""
        end = time.monotonic() + self.start.limit_s
        while len(rows := self.boot.rows(kind)) < number:
            assert time.monotonic() < end, f"{len(rows)} of {number} {kind}"
            time.sleep(0.05)
        return rows


@contextmanager
def standing(
    folder: Path, start: Start, way: Way, *, machines: int = 1, known: bool = True
) -> Iterator[Ground]:
    """Machines, switched off, and their site; what is left of a failure lies in *folder*.

    *known*: each has a plan, an install with the deploy system; else the site knows none of them.
    """
    sweep()
    rack = Rack(
        folder / "rack",
        machines=machines,
        firmware=start.firmware,
        card=start.card,
        memory_mib=MEMORY_MIB,
        secure_boot=start.secure,
        advertise=way is Way.RELAY,  # a site beyond a router cannot
    )
    with ExitStack() as stack:
        stack.enter_context(rack)
        stack.enter_context(evidence.captured(rack.namespace, folder))
        if start.plain:
            _make_plain(stack, rack)
        planned = rack.machines if known else []
        hosts = {machine.hardware.mac: address(machine) for machine in planned}
        stand = stack.enter_context(ways.laid(way, rack, folder, hosts))
        site = _site(folder, stand, start)
        boot = stack.enter_context(serving(site, *SERVICES))
        plans = boot.stores.plans
        _put_network(plans, stand.mode)
        _put_files(plans, start.card)
        for machine in planned:
            plans.put(_plan(machine, site.boot_url))
        stack.enter_context(evidence.shown(rack, boot, folder))
        yield Ground(rack, boot, start)


def address(machine: Machine) -> str:
    """Return the address that *machine* has in its plan."""
    return str(CIDR[20 + int(machine.hardware.name.removeprefix("r"))])


def _make_plain(stack: ExitStack, rack: Rack) -> None:
    for machine in rack.machines:
        stack.callback(PlainRom(rack.namespace, machine.place.tap).close)


def _site(folder: Path, stand: Stand, start: Start) -> Site:
    return Site(
        directory=folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=f"http://{stand.address}:8081",
        boot_address=stand.address,
        netns=stand.namespace,
        dhcp_interface=stand.interface,
        dhcp_address=stand.address,
        tftp_address=stand.address,
        loader_dirs=start.loader_dirs,
    )


def _put_network(plans: PlanStore, mode: Mode) -> None:
    """Tell of the rack's network, with what control lets one of that *mode* have."""
    leased = mode is Mode.FULL
    network = BootNetwork(
        network=NETWORK,
        name="rack",
        cidr=CIDR,
        mode=mode,
        gateway=IPv4Address(GATEWAY),
        pool_first=POOL[0] if leased else None,
        pool_last=POOL[1] if leased else None,
        strangers_boot=mode is Mode.PROXY,
        answer_rs=True,
    )
    plans.put_networks([network], ranges=[Range(NETWORK, *POOL)] if leased else [])


def _plan(machine: Machine, boot_url: str) -> BootPlan:
    unit = machine.hardware
    number = int(unit.name.removeprefix("r"))
    told = Addressing(address=address(machine), prefix_length=CIDR.prefixlen, gateway=GATEWAY)
    order = render.Order(
        hostname=unit.name,
        mac=unit.mac,
        addressing=told,
        kernel_path="os/vmlinuz",
        initrd_path="os/initrd.img",
        image_path="os/disk.raw",
        image_sha256="0" * 64,
        image_size=1,
        instance_id=f"i-{number}",
        disk_serial=unit.disk.serial,
        kernel_args=STEADY,
    )
    return make.plan(
        machine=UUID(int=number),
        run=UUID(int=0xF0 + number),
        hostname=unit.name,
        mac=unit.mac,
        addressing=told,
        boot_base_url=boot_url,
        documents=render.documents(order),
        files=(),
    )


def _put_files(plans: PlanStore, card: Card) -> None:
    assets = boot_assets.of(card)
    for path, location in (("os/vmlinuz", assets.kernel), ("os/initrd.img", assets.initrd)):
        content = location.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        given = {"sha256": digest, "size": len(content), "chunks": f"1 {digest}\n"}
        plans.put_file(path, location, **given)
