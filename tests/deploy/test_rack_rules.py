"""The rack's tables: hardware, boot override, power button, QEMU's command line."""

import subprocess
from dataclasses import replace
from itertools import pairwise, product

import pytest

from deploy.rack import boot, children, hardware, power, qemu
from deploy.rack.boot import NO_OVERRIDE, Enabled, First, Override, Target
from deploy.rack.hardware import Card, Firmware
from deploy.rack.power import ACTS, MEANWHILE, Act, PowerState, Reset, WrongState

ILLEGAL = sorted(set(product(Reset, PowerState)) - ACTS.keys())


def unit(number=1, rack="rack", firmware=Firmware.BIOS):
    return hardware.build(rack, number, firmware=firmware, memory_mib=1024, disk_bytes=1 << 32)


def words_after(option, words):
    return [value for name, value in pairwise(words) if name == option]


def test_a_machine_is_the_same_every_time():
    assert unit(7) == unit(7)


def test_machines_of_a_rack_and_racks_share_nothing():
    units = [unit(number, rack) for rack in ("one", "two") for number in range(1, 201)]

    for fact in ("mac", "serial", "uuid", "bmc_uuid"):
        assert len({getattr(each, fact) for each in units}) == 400
    assert len({each.disk.serial for each in units}) == 400


@pytest.mark.parametrize("number", [0, 201])
def test_a_number_that_fits_no_mac_address_is_refused(number):
    with pytest.raises(ValueError, match="not within"):
        unit(number)


@pytest.mark.parametrize(
    ("override", "first", "left"),
    [
        (NO_OVERRIDE, First.DISK, NO_OVERRIDE),
        (Override(Target.PXE, Enabled.ONCE), First.NETWORK, NO_OVERRIDE),
        (Override(Target.HDD, Enabled.ONCE), First.DISK, NO_OVERRIDE),
        (Override(Target.UEFI_HTTP, Enabled.ONCE), First.HTTP, NO_OVERRIDE),
        (Override(Target.CD, Enabled.ONCE), First.CD, NO_OVERRIDE),
        (
            Override(Target.PXE, Enabled.CONTINUOUS),
            First.NETWORK,
            Override(Target.PXE, Enabled.CONTINUOUS),
        ),
    ],
)
def test_an_override_is_used_up_by_one_boot_unless_it_is_continuous(override, first, left):
    assert boot.consume(override) == (first, left)


@pytest.mark.parametrize(
    ("target", "enabled"), [(Target.NONE, None), (Target.NONE, Enabled.ONCE), (None, "Disabled")]
)
def test_no_target_and_disabled_both_end_an_override(target, enabled):
    before = Override(Target.PXE, Enabled.CONTINUOUS)
    enabled = Enabled(enabled) if enabled else None

    assert boot.changed(before, target=target, enabled=enabled) == NO_OVERRIDE


def test_a_target_alone_keeps_how_long_it_holds():
    before = Override(Target.PXE, Enabled.ONCE)

    assert boot.changed(before, target=Target.HDD, enabled=None) == Override(
        Target.HDD, Enabled.ONCE
    )


@pytest.mark.parametrize(("press", "act"), sorted(ACTS.items()))
def test_every_button_in_the_table_works(press, act):
    assert power.act_for(*press) is act


@pytest.mark.parametrize("press", ILLEGAL, ids="+".join)
def test_every_other_button_is_refused(press):
    with pytest.raises(WrongState) as caught:
        power.act_for(*press)

    assert (caught.value.reset, caught.value.state) == press


def test_every_act_shows_a_state_in_between():
    assert set(MEANWHILE) == set(Act)
    assert set(MEANWHILE.values()) == {PowerState.POWERING_ON, PowerState.POWERING_OFF}


def test_whatever_the_state_there_is_a_button_that_ends_in_off():
    offable = {state for reset, state in ACTS if reset is Reset.FORCE_OFF}

    assert offable == set(PowerState) - {PowerState.OFF}


@pytest.mark.parametrize(
    ("first", "disk", "nic"),
    [(First.DISK, 0, 1), (First.NETWORK, 1, 0), (First.HTTP, 1, 0), (First.CD, 1, 2)],
)
@pytest.mark.parametrize("firmware", Firmware)
def test_the_first_boot_device_has_the_first_boot_index(firmware, first, disk, nic):
    words = qemu.command(unit(firmware=firmware), first, tap="r1", monitor_fd=9)

    devices = words_after("-device", words)
    assert any(word.startswith("nvme,") and f"bootindex={disk}" in word for word in devices)
    assert any(word.startswith("virtio-net") and f"bootindex={nic}" in word for word in devices)


@pytest.mark.parametrize(
    ("first", "index"), [(First.CD, 0), (First.DISK, 2), (First.NETWORK, 2), (First.HTTP, 2)]
)
def test_a_disc_comes_first_only_when_it_is_asked_for(first, index):
    words = qemu.command(unit(), first, tap="r1", monitor_fd=9, disc=True)

    assert f"ide-cd,drive=disc,bootindex={index}" in words_after("-device", words)


@pytest.mark.parametrize(
    ("firmware", "card", "rom"),
    [
        (Firmware.BIOS, Card.VIRTIO, True),
        (Firmware.BIOS, Card.E1000E, True),
        (Firmware.UEFI, Card.VIRTIO, False),
        (Firmware.UEFI, Card.E1000E, True),
    ],
)
def test_a_card_has_its_rom_where_the_firmware_has_no_driver_for_it(firmware, card, rom):
    made = replace(unit(firmware=firmware), card=card)

    devices = words_after("-device", qemu.command(made, First.NETWORK, tap="r1", monitor_fd=9))

    [nic] = [word for word in devices if word.startswith(f"{card},")]
    assert nic.endswith(",romfile=") is not rom


@pytest.mark.parametrize("first", First)
@pytest.mark.parametrize("firmware", Firmware)
def test_a_machine_is_emulated_and_its_reboot_ends_the_process(firmware, first):
    words = qemu.command(unit(firmware=firmware), first, tap="r1", monitor_fd=9)

    assert "accel=tcg" in words_after("-machine", words)[0]
    assert words_after("-action", words) == ["reboot=shutdown,shutdown=poweroff"]
    assert not any("kvm" in word for word in words)


def test_a_child_that_lost_its_parent_before_it_could_ask_for_its_death_does_not_run():
    words = children._while_we_live()
    stranger = [*words[:-1], "1", "echo", "ran"]

    done = subprocess.run(stranger, capture_output=True, check=False)
    mine = subprocess.run([*words, "echo", "ran"], capture_output=True, check=False)

    assert done.stdout == b""
    assert mine.stdout == b"ran\n"
