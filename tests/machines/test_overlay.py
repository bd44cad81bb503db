"""A host whose firmware cannot carry an ISO: a real kernel, and /pxe-init in an installer's initrd.

What cannot be had here is the vendor's own init; a stand-in does what it does first, on an ISO of
the same layout that was prepared as every other is.
"""

import hashlib
import math
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from socket import create_connection
from uuid import UUID

import pytest

from actors.drivers import installer_iso as preparing
from models.answering import Hardware
from models.bootplan import Addressing, File
from models.installer_calls import Caller
from models.installers import Installer
from models.observations import Seen
from pxe_stack import installers, run_door
from tests.machines import installer_iso
from tests.machines.behind_qemu import HOST, ipxe
from tests.machines.ground import STARTS, address, standing
from tests.machines.ways import GATEWAY, Way
from tests.pxe_stack import installed, make, web

pytestmark = [pytest.mark.machines, pytest.mark.timeout(480)]

LIMIT_S = 420.0
"""Eight times what it takes where nothing else runs."""

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
CUT_AT = 2 << 20
CONSOLE = ("console=ttyS0,115200", "no_timer_check")


class Unsteady(socketserver.ThreadingTCPServer):
    """Before the site's server: the ISO is refused at first, then cut off, and then let through."""

    daemon_threads = True

    def __init__(self, site: int) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.site, self.ranges = site, []

    def most(self, head: list[bytes]) -> float:
        """Return how many bytes the request that begins with *head* may be answered with."""
        if b"/proxmox.iso " not in head[0]:
            return math.inf
        self.ranges += [next((line for line in head if line.startswith(b"Range:")), b"")]
        return {1: 0, 2: CUT_AT}.get(len(self.ranges), math.inf)


class Passing(socketserver.StreamRequestHandler):
    """Passes one request on, and what it is answered; the connection is not kept."""

    def handle(self) -> None:
        head = list(iter(lambda: self.rfile.readline().rstrip(b"\r\n"), b""))
        if not head:
            return
        if (most := self.server.most(head)) == 0:
            self.wfile.write(REFUSED)
            return
        lengths = [int(line[15:]) for line in head if line.startswith(b"Content-Length:")]
        kept = [line for line in head if not line.startswith(b"Connection:")]
        asked = b"\r\n".join([*kept, b"Connection: close", b"", b""])
        with create_connection(("127.0.0.1", self.server.site), 60) as site:
            site.sendall(asked + self.rfile.read(sum(lengths)))
            while most > 0 and (data := site.recv(int(min(most, 65536)))):
                self.wfile.write(data)
                most -= len(data)


@contextmanager
def unsteady(site: int) -> Iterator[Unsteady]:
    with Unsteady(site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def boot(tmp_path):
    with web.serving(tmp_path / "site") as made:
        yield made


def stored(plans, folder):
    """Have the site store what is made of an installer's ISO."""
    made = preparing.made(installer_iso.written(folder / "source.iso"), folder)
    for part in (made.kernel, made.initrd, made.iso):
        given = {"sha256": part.sha256, "size": part.size, "chunks": f"1 {part.sha256}\n"}
        plans.put_file(f"pve/{part.name}", folder / part.name, **given)
    return made


def planned(plans, url, *, mac, addressing, way="overlay", **changes):
    """Have the site lead the machine as one whose server type says `boot: overlay`, or so."""
    order = replace(
        installed.PROXMOX,
        mac=mac,
        addressing=addressing,
        kernel_path="pve/vmlinuz",
        initrd_path="pve/initrd.img",
        iso_path="pve/proxmox.iso",
        kernel_args=CONSOLE,
        hardware=Hardware(boot_disk="vda", boot=way),
    )
    given = {
        "version": 2,
        "mac": mac,
        "addressing": addressing,
        "boot_base_url": url,
        "documents": installers.of(Installer.PROXMOX, order),
        "files": (File(role="iso", path="pve/proxmox.iso", sha256="0" * 64),),
        "caller": Caller(macs=(mac,)),
        "ssh_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ",
    }
    plan = make.plan(**given | changes)
    plans.put(plan)
    return plan


def test_the_installer_finds_its_iso_though_the_firmware_had_none_and_the_server_was_unsteady(
    boot, tmp_path
):
    made = stored(boot.stores.plans, tmp_path)
    with unsteady(boot.port) as server:
        url = f"http://{HOST}:{server.server_address[1]}"
        plan = planned(boot.stores.plans, url, mac=make.MAC, addressing=web.HERE)
        going = f"#!ipxe\nchain {url}/ipxe/{make.MAC}\n"
        with ipxe(tmp_path, going, memory_mib=512) as console:
            console.shows('INSTALLER is answered "node-01.internal"', limit_s=LIMIT_S)
            shown = console.text

    assert server.ranges[:2] == [b"", b""]
    begun = [
        int(each.removeprefix(b"Range: bytes=").removesuffix(b"-")) for each in server.ranges[2:]
    ]
    assert begun
    assert all(0 < each <= CUT_AT for each in begun)
    assert "seen are: \n" not in shown  # the card was there as soon as its driver
    assert f"sprout: {made.iso.size} of {made.iso.size} bytes of the ISO" in shown
    assert "INSTALLER began with <>, left with /pxe-init\n" in shown
    assert f"INSTALLER reads {hashlib.sha256(installer_iso.LARGE).hexdigest()}" in shown
    assert f"INSTALLER bears {run_door.bearer(plan, make.KEY)}" in shown
    assert boot.rows(Seen.ANSWER_SERVED)


@pytest.mark.parametrize(
    ("name", "way"), [("uefi-virtio", "overlay"), ("uefi-virtio", "iso"), ("bios-ipxe-rom", "iso")]
)
def test_each_firmware_brings_the_installer_its_iso(tmp_path, name, way):
    """UEFI's iPXE, which is Debian's, hands none on: there Linux fetches it in both ways."""
    start = replace(STARTS[name], limit_s=LIMIT_S)
    (folder := tmp_path / "iso").mkdir()
    with standing(tmp_path, start, Way.FULL) as ground:
        [machine] = ground.rack.machines
        plans = ground.boot.stores.plans
        stored(plans, folder)
        planned(
            plans,
            ground.boot.site.boot_url,
            mac=machine.hardware.mac,
            way=way,
            machine=UUID(int=1),
            addressing=Addressing(address=address(machine), prefix_length=24, gateway=GATEWAY),
        )
        ground.switch_on()

        ground.wait_for(Seen.ANSWER_SERVED)

        fetched = {row.data["path"] for row in ground.boot.rows(Seen.ARTIFACT_SERVED)}
    assert fetched == {
        f"/artifacts/pve/{name}" for name in ("vmlinuz", "initrd.img", "proxmox.iso")
    }
