"""A machine whose BMC inserts an image: it boots from that, to our script, and reports back."""

import shutil
from pathlib import Path

import pytest

from deploy.rack.hardware import Firmware
from models.observations import Seen
from tests.deploy.rack_lab import driven, images_at
from tests.machines.ground import Start, standing
from tests.machines.ways import Way

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

IPXE = Path("/usr/lib/ipxe/ipxe.iso")
START = Start(Firmware.BIOS, 240.0)


def test_a_machine_that_is_given_ipxe_as_virtual_media_boots_to_our_script(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(IPXE, images)
    with standing(tmp_path, START, Way.FULL) as ground, images_at(images) as url:
        [machine] = ground.rack.machines
        with driven(ground.rack.describe()["machines"][0]) as driver:
            driver.insert_media(f"{url}/{IPXE.name}")
            driver.set_boot_source("cd")
            driver.ensure_power(on=True)

        [told] = ground.wait_for(Seen.INSTALL_STARTED)

        on_disc = machine.serial.wait_for("iPXE ISO boot image")
        machine.serial.wait_for("Sprout: installing r1", after=on_disc)
        script, *_ = ground.boot.rows(Seen.SCRIPT_SERVED)
        assert script.mac == told.mac == machine.hardware.mac
