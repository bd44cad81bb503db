"""The second way to the disk: an installed machine that boots from the network all the same."""

import pytest

from tests.flows.stage import LIMIT_S, Running, prepared

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 2)]


@pytest.fixture(params=["bios", "uefi"])
def running(request, tmp_path, image_cache):
    started = Running(prepared(tmp_path, image_cache), firmware=request.param)
    started.until(lambda machine: machine["state"] == "active")
    yield started
    started.stop()


def kinds(running, name):
    return [row["kind"] for row in running.get(f"/v1/machines/{name}/timeline?limit=500")["items"]]


def test_an_installed_machine_that_boots_from_the_network_is_led_to_its_own_disk(running):
    name = running.machine()["hostname"]
    before = running.booted(name)
    scripts = kinds(running, name).count("script-served")

    running.sprout("ssh", name, "systemctl", "poweroff")
    assert running.ask(name, "power-off")["state"] == "succeeded"
    assert running.ask(name, "boot-source", bootSource="pxe")["state"] == "succeeded"
    assert running.ask(name, "power-on")["state"] == "succeeded"
    running.until(lambda _: "local-boot-served" in kinds(running, name))
    running.until(lambda _: running.booted(name) not in {None, before})

    assert kinds(running, name).count("script-served") == scripts
    assert running.machine()["state"] == "active"
