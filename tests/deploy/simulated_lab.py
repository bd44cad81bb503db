"""A site's real serving processes on loopback, and simulated machines in front of them."""

import asyncio
import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from actors.site import sums
from deploy.rack.power import PowerState, Reset
from deploy.rack.simulated import image, rack
from deploy.rack.simulated.machine import SimulatedMachine
from deploy.rack.simulated.pace import Pace
from models.bootplan import Addressing, BootPlan
from models.installers import Installer
from pxe_stack import installers, render
from pxe_stack.serve import Site
from tests.pxe_stack import make
from tests.pxe_stack.lab import Boot, serving, until
from tests.services import process

QUICK = Pace(speed=50, patience=(60.0,), again=(0.1,), retry=0.05, grace=0.3)
"""No packet is lost on loopback: it asks once, however long a server on a busy machine stands."""

HASTY = replace(QUICK, patience=(0.3, 0.6))
"""For where nobody is there to hear what it asks first."""

SERVER = "127.64.0.1"
ADDRESS = "127.64.1.7"


class Looped:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, act, *words):
        """Return what *act* returns in the loop."""

        async def called():
            return act(*words)

        return self.wait(called())

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass
class Stage:
    """A site that can serve, and one machine that is off."""

    site: Site
    loop: Looped
    machine: SimulatedMachine
    writes: Path
    bmc: str
    password: str

    def press(self, reset: Reset) -> None:
        self.loop.call(self.machine.press, reset)

    def until_state(self, state: PowerState) -> None:
        until(lambda: self.machine.state is state)

    @contextmanager
    def serving(self, *, plan: BootPlan | None = None) -> Iterator[Boot]:
        with serving(self.site, "dhcp", "tftp", "http") as boot:
            _give(boot, self.site, plan or self.plan())
            yield boot

    def plan(
        self, *, spoil: bool = False, installer: Installer = Installer.IMAGE, **order
    ) -> BootPlan:
        """Return a plan that installs the stand-in image, or ISO, on the machine's disk."""
        facts = image.build(self.site.loader_dirs[0])
        hardware = self.machine.hardware
        addressing = Addressing(address=ADDRESS, prefix_length=16, lease_s=600)
        given = {
            "hostname": "node-01",
            "mac": hardware.mac,
            "addressing": addressing,
            "kernel_path": "simulated/vmlinuz",
            "initrd_path": "simulated/initrd.img",
            "image_path": "simulated/disk.raw",
            "iso_path": "simulated/disk.raw",
            "image_sha256": facts["files"]["disk.raw"]["sha256"],
            "image_size": facts["files"]["disk.raw"]["size"],
            "instance_id": "run-1",
            "disk_serial": hardware.disk.serial,
        }
        documents = installers.of(installer, render.Order(**given | order))
        if spoil:
            last = self.site.loader_dirs[0] / "disk.raw"
            content = last.read_bytes()
            last.write_bytes(content[:-1] + bytes((content[-1] ^ 1,)))
        return make.plan(
            mac=hardware.mac,
            hostname="node-01",
            addressing=addressing,
            boot_base_url=self.site.boot_url,
            documents=documents,
            valid_for=3600,
        )


def _give(boot: Boot, site: Site, plan: BootPlan) -> None:
    """Put the plan and its files where the site serves them; the digests are the image's own."""
    folder = site.loader_dirs[0]
    boot.stores.plans.put(plan)
    for name, facts in image.build(folder.parent / "good")["files"].items():
        with (folder.parent / "good" / name).open("rb") as content:
            digest = sums.read(content)
        assert digest.sha256 == facts["sha256"]
        boot.stores.plans.put_file(
            f"simulated/{name}",
            folder / name,
            sha256=digest.sha256,
            size=facts["size"],
            chunks=digest.chunks,
        )


@contextmanager
def staged(folder: Path, pace: Pace = QUICK, **order) -> Iterator[Stage]:
    dhcp_port, tftp_port, boot_port = process.free_ports(3)
    site = Site(
        directory=folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=f"http://{SERVER}:{boot_port}",
        boot_address=SERVER,
        boot_port=boot_port,
        dhcp_interface="lo",
        dhcp_address=SERVER,
        tftp_address=SERVER,
        dhcp_port=dhcp_port,
        tftp_port=tftp_port,
        loader_dirs=(folder / "image",),
    )
    image.build(folder / "image")
    wanted = rack.Order(
        state=folder / "rack",
        machines=1,
        name=hashlib.sha256(str(folder).encode()).hexdigest(),
        dhcp=(SERVER, dhcp_port),
        tftp_port=tftp_port,
        pace=pace,
    )
    looped = Looped()
    opened = rack.opened(dataclasses.replace(wanted, **order))
    running = looped.wait(opened.__aenter__())
    [described] = running.describe()["machines"]
    password = Path(described["bmc"]["password_file"]).read_text().strip()
    board = described["bmc"]["address"]
    try:
        yield Stage(site, looped, running.machines[0], running.writes, board, password)
    finally:
        looped.wait(opened.__aexit__(None, None, None))
        looped.close()
