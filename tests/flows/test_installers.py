"""Ubuntu by autoinstall, Debian by preseed: asked over the API, led to active by all processes."""

import pytest

from tests.flows.stage import Running

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

KEPT = ("architecture", "artifactRef", "kernelPath", "initrdPath", "checksums")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    data = tmp_path_factory.mktemp("installers") / "data"
    data.mkdir(mode=0o700)
    up = Running(data, words=["--simulated"], SPROUT_BROKER="postgres")
    yield up
    up.stop()


def record_image(running, installer):
    """Record an image of *installer*, of the files that the rack's own image has."""
    own = next(each for each in running.get("/v1/images")["items"] if each["installer"] == "image")
    body = {name: own[name] for name in KEPT} | {"ref": installer, "name": installer}
    body |= {"installer": installer}
    if installer == "autoinstall":
        body |= {"isoPath": own["imagePath"], "imageBytes": own["imageBytes"]}
    answer = running.call("POST", "/v1/images", body)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("installer", ["autoinstall", "preseed"])
def test_a_machine_is_installed_by_its_distribution_and_its_host_key_is_pinned(running, installer):
    before = running.until(lambda each: each["state"] == "active")
    record_image(running, installer)
    profile = running.get("/v1/profiles")["items"][0]["ref"]

    ended = running.ask(before["hostname"], "provision", imageRef=installer, profileRef=profile)

    after = running.machine()
    assert (ended["state"], after["state"]) == ("succeeded", "active")
    assert after["imageRef"] == installer
    assert after["sshHostKeys"]
    assert after["sshHostKeys"] != before["sshHostKeys"]
