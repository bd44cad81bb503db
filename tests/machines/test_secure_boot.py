"""Secure Boot in earnest: OVMF with Microsoft's keys, and Debian's signed loaders, served by us."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.rack.boot import Target
from deploy.rack.hardware import Firmware
from models.observations import Observation, Seen, Source
from pxe_stack.serve import Site
from tests.machines.evidence import say
from tests.machines.ground import Start, standing
from tests.machines.ways import Way

pytestmark = pytest.mark.machines

DEBIAN = tuple(map(Path, ("/usr/lib/ipxe", "/usr/lib/shim", "/usr/lib/grub/x86_64-efi-signed")))
SECURE = Start(Firmware.UEFI, 120.0, secure=True, loader_dirs=DEBIAN)
UNSIGNED = replace(SECURE, loader_dirs=Site.loader_dirs)
BY_HAND = pytest.mark.long


def sent(ground):
    return [row.data["name"] for row in ground.boot.rows(Seen.TFTP_SENT)]


@pytest.mark.timeout(2 * SECURE.limit_s)
@pytest.mark.parametrize("way", [Way.FULL, pytest.param(Way.RELAY, marks=BY_HAND)])
def test_shim_starts_grub_which_starts_debians_signed_kernel_which_reports_back(tmp_path, way):
    with standing(tmp_path, SECURE, way) as ground:
        [machine] = ground.rack.machines
        begun = ground.switch_on()

        [told] = ground.wait_for(Seen.INSTALL_STARTED)

        script, *_ = ground.boot.rows(Seen.SCRIPT_SERVED)
        assert (script.mac, script.source) == (machine.hardware.mac, Source.TFTP)
        assert script.data["document"] == "script.grub"
        assert sent(ground) == [
            *("shimx64.efi", "grubx64.efi", "grub.cfg"),
            f"grub/grub.cfg-01-{machine.hardware.mac}",
            f"boot/{told.run}/***/script.grub",
            *("artifacts/os/vmlinuz", "artifacts/os/initrd.img"),
        ]
        said = machine.serial.read()
        assert "secure boot enabled" in said.lower()
        assert "iPXE initialising" not in said, "an unsigned loader was started: no Secure Boot"
        say(f"secure {way}: script {script.at - begun:.1f} s, callback {told.at - begun:.1f} s")


@pytest.mark.timeout(2 * SECURE.limit_s)
def test_by_grub_too_an_installed_machine_is_led_to_its_disk_and_a_stranger_told_so(tmp_path):
    with standing(tmp_path, SECURE, Way.FULL) as ground:
        [machine] = ground.rack.machines
        plan = ground.boot.stores.plans.by_mac(machine.hardware.mac).plan
        over = Observation(kind=Seen.INSTALLED, source=Source.HTTP, at=1.0, run=plan.run)
        ground.boot.stores.journal.append(over)
        ground.switch_on()

        machine.serial.wait_for("nothing to install on this machine", ground.start.limit_s)

        assert ground.boot.rows(Seen.LOCAL_BOOT_SERVED)
        assert not ground.boot.rows(Seen.SCRIPT_SERVED)
        machine.serial.wait_for("no disk has a boot loader", ground.start.limit_s)


@pytest.mark.timeout(2 * SECURE.limit_s)
def test_an_unsigned_loader_is_refused_by_the_firmware_itself(tmp_path):
    with standing(tmp_path, UNSIGNED, Way.FULL) as ground:
        [machine] = ground.rack.machines
        ground.switch_on()

        machine.serial.wait_for("Access Denied", ground.start.limit_s)

        assert sent(ground)[0] == "snponly.efi"
        assert "iPXE initialising" not in machine.serial.read()


HTTP_GRUB = (
    "efinet http tftp normal configfile linux echo sleep test regexp search chain boot reboot"
)
"""Modules of a GRUB that speaks HTTP, as vendors later than Debian 12 sign it."""


@pytest.fixture
def grub(tmp_path):
    """A GRUB with HTTP in it; nobody signed it, so its firmware must not ask for that."""
    folder = tmp_path / "grub"
    folder.mkdir()
    words = ["grub-mkimage", "-O", "x86_64-efi", "-p", "/grub", "-o", folder / "grubx64.efi"]
    subprocess.run([*words, *HTTP_GRUB.split()], check=True)
    return folder


@pytest.mark.timeout(2 * SECURE.limit_s)
def test_over_http_the_same_shim_starts_a_grub_that_speaks_it(tmp_path, grub):
    start = replace(SECURE, secure=False, target=Target.UEFI_HTTP, loader_dirs=(grub, *DEBIAN))
    with standing(tmp_path, start, Way.FULL) as ground:
        begun = ground.switch_on()

        [told] = ground.wait_for(Seen.INSTALL_STARTED)

        script, *_ = ground.boot.rows(Seen.SCRIPT_SERVED)
        assert (script.source, script.data["document"]) == (Source.HTTP, "script.grub")
        served = [row.data["path"] for row in ground.boot.rows(Seen.ARTIFACT_SERVED)]
        assert served == [
            *("/loaders/shimx64.efi", "/loaders/grubx64.efi"),
            *("/artifacts/os/vmlinuz", "/artifacts/os/initrd.img"),
        ]
        assert not sent(ground)
        say(f"http: script {script.at - begun:.1f} s, callback {told.at - begun:.1f} s")
