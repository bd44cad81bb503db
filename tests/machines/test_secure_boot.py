"""Secure Boot in earnest: OVMF with Microsoft's keys, and Debian's signed loaders, served by us."""

from pathlib import Path

import pytest

from deploy.rack import bridge
from deploy.rack.rack import Rack
from pxe_stack.serve import Site
from tests.pxe_stack import make
from tests.pxe_stack.lab import serving, until

pytestmark = pytest.mark.machines

LIMIT_S = 120.0
DEBIAN = tuple(map(Path, ("/usr/lib/ipxe", "/usr/lib/shim", "/usr/lib/grub/x86_64-efi-signed")))
REFUSED = "started none of the iPXE loaders"


@pytest.fixture
def booting(tmp_path):
    """Boot a machine by *loader*; return its console and what it was sent, when *done* is."""

    def boot(loader, done):
        with Rack(tmp_path / "rack", firmware="uefi", secure_boot=True) as rack:
            (machine,) = rack.machines
            with serving(site(rack, tmp_path / "site"), "dhcp", "tftp") as running:
                plan = make.plan(mac=machine.hardware.mac, loaders={"uefi-x64": loader})
                running.stores.plans.put(plan)
                machine.start()
                until(lambda: done(console(machine)), LIMIT_S)
                rows = [seen for _, seen in running.stores.journal.pending(0, 1000)]
                return console(machine), rows

    return boot


def site(rack, folder):
    address = str(rack.gateway.ip)
    return Site(
        directory=folder,
        agent=make.AGENT,
        key=make.KEY,
        boot_url=f"http://{address}:8081",
        netns=rack.namespace,
        dhcp_interface=bridge.NAME,
        dhcp_address=address,
        tftp_address=address,
        loader_dirs=DEBIAN,
    )


def console(machine):
    path = machine.serial.path
    return path.read_text(errors="replace") if path.exists() else ""


def sent(rows):
    return [row.data["name"] for row in rows if row.kind == "tftp-sent"]


@pytest.mark.timeout(2 * LIMIT_S)
def test_debians_signed_shim_starts_the_second_stage_which_starts_nothing_unsigned(booting):
    said, rows = booting("shimx64.efi", lambda said: REFUSED in said)

    assert "Welcome to GRUB!" in said
    assert sent(rows)[:3] == ["shimx64.efi", "grubx64.efi", "grub.cfg"]
    assert "iPXE initialising" not in said, "an unsigned loader was started: no Secure Boot"


@pytest.mark.timeout(2 * LIMIT_S)
def test_an_unsigned_loader_is_refused_by_the_firmware_itself(booting):
    said, rows = booting("snponly.efi", lambda said: "Access Denied" in said)

    assert sent(rows)[0] == "snponly.efi"
    assert "iPXE initialising" not in said
