"""Simulated machines that installers of distributions install, at a site's real processes."""

import pytest

from deploy.rack.power import PowerState, Reset
from models.installers import Installer
from models.observations import Seen
from tests.deploy.simulated_lab import ADDRESS, staged

pytestmark = pytest.mark.services

KINDS = (Installer.AUTOINSTALL, Installer.PRESEED)


@pytest.fixture
def stage(tmp_path):
    with staged(tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_is_installed_restarts_and_phones_home_with_its_host_key(stage, kind):
    with stage.serving(plan=stage.plan(installer=kind)) as boot:
        stage.press(Reset.ON)
        [home] = boot.wait_for(Seen.PHONED_HOME)

        reports = [boot.rows(each) for each in (Seen.INSTALL_STARTED, Seen.INSTALLED)]
        seeds = {row.data["document"] for row in boot.rows(Seen.SEED_SERVED)}
    assert [row.data["installer"] for [row] in reports] == [kind, kind]
    assert {"seed/installer", "seed/user-data", "seed/meta-data"} <= seeds
    assert (home.data["hostname"], home.data["client"]) == ("node-01", ADDRESS)
    assert home.data["pub_key_ed25519"].startswith("ssh-ed25519 ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_another_is_spared_and_the_site_hears_why(stage, kind):
    with stage.serving(plan=stage.plan(installer=kind, disk_serial="ANOTHER")) as boot:
        stage.press(Reset.ON)
        [failed] = boot.wait_for(Seen.INSTALL_FAILED)
        stage.until_state(PowerState.OFF)

        assert boot.rows(Seen.INSTALLED) == []
    assert failed.data["stage"] == "disk"
    assert "no disk matches serial 'ANOTHER'" in failed.data["reason"]


def test_an_iso_that_is_not_there_stops_the_installer(stage):
    plan = stage.plan(installer=Installer.AUTOINSTALL, iso_path="simulated/none.iso")
    with stage.serving(plan=plan) as boot:
        stage.press(Reset.ON)
        boot.wait_for(Seen.SCRIPT_SERVED)
        stage.until_state(PowerState.OFF)

        assert boot.rows(Seen.INSTALL_STARTED) == []
