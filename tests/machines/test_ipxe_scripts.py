"""Our scripts in the real iPXE, the option ROM of QEMU's network card, behind QEMU's network."""

from dataclasses import replace

import pytest

from models.observations import Seen
from pxe_stack import render, scripts
from tests.machines.behind_qemu import HOST, ipxe
from tests.pxe_stack import make, web

pytestmark = pytest.mark.machines


@pytest.fixture
def boot(tmp_path):
    with web.serving(tmp_path / "site") as made:
        yield made


def going_to(url: str) -> str:
    return f"#!ipxe\nchain {url}\n"


def plan(boot, **changes):
    """A plan whose machine sees boot HTTP at QEMU's address of this one."""
    order = render.Order(
        hostname="node-01",
        mac=make.MAC,
        addressing=web.HERE,
        kernel_path="os/vmlinuz",
        initrd_path="os/initrd.img",
        image_path="os/disk.raw",
        image_sha256="0" * 64,
        image_size=1,
        instance_id="i-1",
        disk_serial="S",
    )
    made = make.plan(addressing=web.HERE, documents=render.documents(order), version=2)
    return replace(made, boot_base_url=f"http://{HOST}:{boot.port}", **changes)


def test_entry_and_install_script_try_again_report_and_give_up(boot, tmp_path):
    boot.stores.plans.put(plan(boot))

    with ipxe(tmp_path, going_to(f"http://{HOST}:{boot.port}/ipxe/{make.MAC}")) as console:
        console.shows(
            "installing node-01", "try 5 of 5", "gives up on node-01", "ipxe.org/2d0c613b"
        )

    [row] = boot.rows(Seen.BOOT_FAILED)
    assert (row.mac, row.data["stage"], row.data["try"]) == (make.MAC, "kernel", "5")
    assert row.data["see"] == "https://ipxe.org/2d0c613b"


def test_a_kernel_that_comes_back_is_started(boot, tmp_path):
    boot.stores.plans.put(plan(boot))
    boot.put_file("os/initrd.img", b"initrd" * 1000)

    with ipxe(tmp_path, going_to(f"http://{HOST}:{boot.port}/ipxe/{make.MAC}")) as console:
        console.shows("try 1 of 5")
        boot.put_file("os/vmlinuz", b"no kernel at all" * 1000)
        console.shows("os/vmlinuz... ok", "os/initrd.img... ok")

    assert boot.rows(Seen.SCRIPT_SERVED)
    assert not boot.rows(Seen.BOOT_FAILED)


def test_the_entry_that_cannot_go_on_reports_and_gives_up(boot, tmp_path):
    boot.stores.plans.put(plan(boot))
    base = f"http://{HOST}:{boot.port}"
    script = scripts.chain(f"{base}/nothing", f"{base}/ipxe/{make.MAC}/trouble")

    with ipxe(tmp_path, script) as console:
        console.shows("try 5 of 5", "Sprout gives up", make.MAC)

    [row] = boot.rows(Seen.BOOT_TROUBLE)
    assert (row.data["stage"], row.data["try"], row.data["platform"]) == ("script", "5", "pcbios")


def test_local_boot_leaves_ipxe(boot, tmp_path):
    boot.stores.plans.put(plan(boot, owner=None))

    with ipxe(tmp_path, going_to(f"http://{HOST}:{boot.port}/ipxe/{make.MAC}")) as console:
        console.shows("nothing to install", "No bootable device")


def test_an_unknown_machine_is_told_its_own_numbers(boot, tmp_path):
    with ipxe(tmp_path, going_to(f"http://{HOST}:{boot.port}/ipxe/52:54:00:99:99:99")) as console:
        console.shows("does not know this machine", make.MAC, "No bootable device")
