"""Simulated machines against a site's real processes: what they do, and how they fail."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from deploy.rack.boot import Enabled, Override, Target
from deploy.rack.hardware import Firmware
from deploy.rack.power import PowerState, Reset
from deploy.rack.simulated.pace import Order
from models.bootplan import Action
from models.observations import Seen
from pxe_stack import render, wipes
from tests.deploy.simulated_lab import ADDRESS, HASTY, QUICK, staged
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

ONCE = Override(Target.PXE, Enabled.ONCE)


@pytest.fixture(params=[Firmware.BIOS, Firmware.UEFI])
def stage(request, tmp_path):
    with staged(tmp_path, firmware=request.param) as made:
        yield made


@pytest.fixture
def uefi(tmp_path):
    with staged(tmp_path) as made:
        yield made


@pytest.fixture
def hasty(tmp_path):
    with staged(tmp_path, HASTY) as made:
        yield made


def test_a_machine_boots_installs_verifies_restarts_and_phones_home(stage):
    with stage.serving() as boot:
        stage.press(Reset.ON)
        [home] = boot.wait_for(Seen.PHONED_HOME)

        [started] = boot.rows(Seen.INSTALL_STARTED)
        [done] = boot.rows(Seen.INSTALLED)
        served = {row.data["path"].rpartition("/")[2] for row in boot.rows(Seen.ARTIFACT_SERVED)}
        loaders = boot.rows(Seen.TFTP_SENT)
        scripts = [row.data["document"] for row in boot.rows(Seen.SCRIPT_SERVED)]
    disk = stage.machine.hardware.disk
    assert started.data["disk"] == disk.serial
    assert started.data["firmware"] == str(stage.machine.hardware.firmware)
    assert done.data["client"] == ADDRESS
    assert {"vmlinuz", "initrd.img", "disk.raw"} <= served
    assert len(loaders) == 2  # for the installation, and for the restart into its own disk
    assert scripts == ["script"]
    assert home.data["pub_key_ed25519"].startswith("ssh-ed25519 ")
    assert (home.data["hostname"], home.data["instance_id"]) == ("node-01", "run-1")


def test_firmware_asks_three_times_for_an_address_and_gets_the_same(uefi):
    with uefi.serving() as boot:
        uefi.press(Reset.ON)
        boot.wait_for(Seen.INSTALL_STARTED)

        acked = boot.rows(Seen.DHCP_ACKED)[:3]

    assert {row.data["address"] for row in acked} == {ADDRESS}
    assert [row.data["vendor_class"][:9] for row in acked] == ["PXEClient"] * 2 + ["udhcp 1.3"]
    assert [row.data["user_class"] for row in acked] == ["", "iPXE", ""]


def test_a_machine_whose_site_is_away_asks_until_it_is_back(hasty):
    hasty.press(Reset.ON)
    until(lambda: hasty.machine.state is PowerState.ON)

    with hasty.serving() as boot:
        boot.wait_for(Seen.PHONED_HOME)


def test_a_disk_that_is_another_is_spared_and_the_machine_powers_off(uefi):
    with uefi.serving(plan=uefi.plan(disk_serial="ANOTHER")) as boot:
        uefi.press(Reset.ON)
        [failed] = boot.wait_for(Seen.INSTALL_FAILED)
        uefi.until_state(PowerState.OFF)

        assert boot.rows(Seen.INSTALL_STARTED) == []
    assert failed.data["stage"] == "disk"
    assert "ANOTHER" in failed.data["reason"]


def test_a_chunk_that_is_not_what_was_promised_ends_the_installation(uefi):
    with uefi.serving(plan=uefi.plan(spoil=True)) as boot:
        uefi.press(Reset.ON)
        [failed] = boot.wait_for(Seen.INSTALL_FAILED)
        uefi.until_state(PowerState.OFF)

        assert boot.rows(Seen.INSTALLED) == []
    assert failed.data["stage"] == "image"
    assert "checksum" in failed.data["reason"]


def test_everything_is_fetched_and_verified_where_that_is_asked_for(tmp_path):
    with staged(tmp_path, replace(QUICK, whole=True, chunks=-1, progress=4)) as stage:
        with stage.serving() as boot:
            stage.press(Reset.ON)
            boot.wait_for(Seen.PHONED_HOME)

            progress = [int(row.data["written"]) for row in boot.rows(Seen.INSTALL_PROGRESS)]
            whole = [row for row in boot.rows(Seen.ARTIFACT_SERVED) if row.data.get("whole")]
        names = {row.data["path"].rpartition("/")[2] for row in whole}
        assert progress == sorted(progress)
        assert len(progress) == 4
        assert {"vmlinuz", "initrd.img"} <= names


def test_an_override_for_once_is_used_up_by_one_boot(tmp_path):
    with staged(tmp_path, replace(QUICK, order=Order.DISK)) as stage:
        stage.loop.call(stage.machine.set_override, ONCE)
        with stage.serving() as boot:
            stage.press(Reset.ON)
            boot.wait_for(Seen.PHONED_HOME)
            loaders = boot.rows(Seen.TFTP_SENT)

        assert len(loaders) == 1  # the restart went to the disk
        assert stage.machine.override.enabled is Enabled.DISABLED


def test_what_was_installed_is_there_after_the_rack_was_ended(tmp_path):
    with staged(tmp_path) as stage, stage.serving() as boot:
        stage.press(Reset.ON)
        boot.wait_for(Seen.PHONED_HOME)
        until(lambda: stage.machine._drive.system.home)

    with staged(tmp_path) as again:
        again.loop.call(again.machine.set_override, Override(Target.HDD, Enabled.ONCE))
        again.press(Reset.ON)
        until(lambda: again.machine._boot is not None and again.machine._boot.listens)


def test_what_is_released_reports_a_wipe_powers_off_and_has_nothing_left_to_boot(uefi):
    with uefi.serving():
        uefi.press(Reset.ON)
        until(lambda: uefi.machine._drive.system is not None)
    uefi.press(Reset.FORCE_OFF)
    uefi.loop.call(uefi.machine.set_override, ONCE)
    unit = uefi.machine.hardware
    order = render.Order(
        hostname="node-01",
        mac=unit.mac,
        addressing=uefi.plan().addressing,
        kernel_path="simulated/vmlinuz",
        initrd_path="simulated/initrd.img",
        instance_id="run-2",
        disk_serial=unit.disk.serial,
    )
    documents = wipes.documents(order, disks="all")
    wipe = replace(uefi.plan(), version=2, run=uuid4(), action=Action.WIPE, documents=documents)

    with uefi.serving(plan=wipe) as boot:
        uefi.press(Reset.ON)
        [told] = boot.wait_for(Seen.WIPED)
        uefi.until_state(PowerState.OFF)

    assert unit.disk.serial in told.data["disk1"]
    assert uefi.machine._drive.system is None


def test_a_running_system_obeys_the_power_button_and_firmware_does_not(hasty):
    hasty.press(Reset.ON)
    hasty.until_state(PowerState.ON)

    hasty.press(Reset.GRACEFUL_SHUTDOWN)
    assert hasty.machine.state is PowerState.POWERING_OFF
    hasty.until_state(PowerState.ON)  # nobody listened

    with hasty.serving() as boot:
        boot.wait_for(Seen.PHONED_HOME)
        hasty.press(Reset.GRACEFUL_SHUTDOWN)
        hasty.until_state(PowerState.OFF)


def test_a_cut_in_the_middle_leaves_no_half_of_a_boot_behind(uefi):
    with uefi.serving() as boot:
        uefi.press(Reset.ON)
        boot.wait_for(Seen.INSTALL_STARTED)
        uefi.press(Reset.FORCE_OFF)
        uefi.until_state(PowerState.OFF)
        count = len(boot.rows(Seen.SCRIPT_SERVED))

        uefi.press(Reset.ON)
        boot.wait_for(Seen.PHONED_HOME)
        assert len(boot.rows(Seen.SCRIPT_SERVED)) == count + 1
        assert len(boot.rows(Seen.PHONED_HOME)) == 1


def test_the_rack_says_where_everything_is(uefi, tmp_path):
    described = json.loads((tmp_path / "rack" / "rack.json").read_text())

    assert described["simulated"] is True
    assert described["writes"] == str(uefi.writes)
    [machine] = described["machines"]
    assert machine["bmc"]["address"].startswith("http://127.65.0.1:")
