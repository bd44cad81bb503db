"""What distributions' installers are served, to real iPXE, real kernels and Debian's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.rack.hardware import Card
from models.installers import Installer
from models.observations import Seen
from pxe_stack import cpio, installers
from tests.machines import boot_assets
from tests.machines.behind_qemu import HOST, ipxe
from tests.pxe_stack import installed, make, web
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.machines

CASPER = Path(__file__).with_name("casper.sh")
NETBOOT = Path("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64")
CONSOLE = ("console=ttyS0,115200", "no_timer_check")
CURL = '#!/bin/sh\nexec timeout 15 wget -q -O "$3" --post-data "$7" "$8"\n'
"""As the installer's script calls curl, which busybox is not."""


@pytest.fixture
def boot(tmp_path):
    with web.serving(tmp_path / "site") as made:
        yield made


def planned(boot, installer: Installer):
    """Have the site serve *installer* to the machine; return its plan."""
    order = installed.order(addressing=web.HERE, kernel_args=CONSOLE)
    made = make.plan(
        addressing=web.HERE, documents=installers.of(installer, order), version=2, files=()
    )
    made = replace(made, boot_base_url=f"http://{HOST}:{boot.port}")
    boot.stores.plans.put(made)
    return made


def going(boot) -> str:
    return f"#!ipxe\nchain http://{HOST}:{boot.port}/ipxe/{make.MAC}\n"


def disk(folder, serial: str) -> tuple[str, ...]:
    path = folder / f"{serial}.raw"
    path.write_bytes(bytes(1 << 20))
    drive = f"if=none,id={serial},format=raw,file={path}"
    return ("-drive", drive, "-device", f"nvme,drive={serial},serial={serial}")


def test_ipxe_and_kernel_hand_on_the_seed_whole_and_the_installer_reports(boot, tmp_path):
    assets = boot_assets.of(Card.VIRTIO)
    own = [cpio.program("init", CASPER.read_bytes()), cpio.program("bin/curl", CURL.encode())]
    boot.put_file("ubuntu/vmlinuz", assets.kernel.read_bytes())
    boot.put_file("ubuntu/initrd", assets.initrd.read_bytes() + cpio.archive(own))
    boot.put_file("ubuntu/live-server.iso", b"no ISO at all")
    plan = planned(boot, Installer.AUTOINSTALL)
    disks = (*disk(tmp_path, "S0"), *disk(tmp_path, "S1"))

    with ipxe(tmp_path, going(boot), *disks, memory_mib=512) as console:
        console.shows("CASPER ran its commands", "CASPER is refused its seed")
        shown = console.text

    seed = installed.seed_url(plan)
    iso = f"{plan.boot_base_url}/artifacts/ubuntu/live-server.iso"
    assert f" ds=nocloud;s={seed} BOOTIF=01-52-54-00-00-00-01 " in shown
    assert f"CASPER iso {iso} dhcp /dev/null" in shown
    assert "CASPER found the ISO" in shown
    names = ("meta-data", "user-data", "vendor-data", "network-config")
    assert all(f"CASPER has {name}" in shown for name in names)
    assert "CASPER installs on /dev/nvme1n1" in shown
    assert boot.rows(Seen.INSTALL_STARTED)
    assert boot.rows(Seen.INSTALLED)
    assert not boot.rows(Seen.INSTALL_FAILED)


@pytest.mark.timeout(480)
def test_debians_own_installer_fetches_its_preseed_and_runs_its_early_command(boot, tmp_path):
    boot.put_file("ubuntu/vmlinuz", (NETBOOT / "linux").read_bytes())
    boot.put_file("ubuntu/initrd", (NETBOOT / "initrd.gz").read_bytes())
    planned(boot, Installer.PRESEED)

    with ipxe(tmp_path, going(boot), *disk(tmp_path, "S1"), memory_mib=1024):
        until(lambda: boot.rows(Seen.INSTALL_STARTED), 420.0)

    served = [row.data["document"] for row in boot.rows(Seen.SEED_SERVED)]
    assert served == ["seed/preseed.cfg", "seed/installer"]
    [row] = boot.rows(Seen.INSTALL_STARTED)
    assert row.data["installer"] == "preseed"
