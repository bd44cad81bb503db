"""The virtual CD of a BMC: what it takes, what it refuses, and what it leaves in the folder."""

import json

import pytest

from deploy.rack.disc import FILE
from deploy.rack.emulator import Place
from deploy.rack.machine import Machine
from deploy.rack.redfish import shapes
from deploy.rack.redfish.service import Credentials, Service
from tests.deploy.rack_lab import images_at
from tests.deploy.test_rack_rules import unit
from tests.deploy.test_rack_service import ask, error_of

INSERT, EJECT = map(shapes.insert_path, ("Insert", "Eject"))
CONTENT = b"an image" * 1000


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "rescue.iso").write_bytes(CONTENT)
    with images_at(tmp_path / "images") as url:
        yield url


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "r1"


@pytest.fixture
def service(folder):
    machine = Machine(unit(), Place(folder, namespace="none", tap="r1"))
    yield Service(machine, Credentials("admin", "secret"))
    machine.close()


def disc(service):
    return json.loads(ask(service, "GET", shapes.DISC).body)


def test_an_inserted_image_is_shown_and_lies_beside_the_disk(service, folder, images):
    image = f"{images}/rescue.iso"

    assert ask(service, "POST", INSERT, {"Image": image}).status == 204
    assert (disc(service)["Image"], disc(service)["Inserted"]) == (image, True)
    assert (folder / FILE).read_bytes() == CONTENT


def test_an_ejected_image_is_gone_and_ejecting_again_does_no_harm(service, folder, images):
    ask(service, "POST", INSERT, {"Image": f"{images}/rescue.iso"})

    assert [ask(service, "POST", EJECT).status for _ in range(2)] == [204, 204]
    assert (disc(service)["Image"], disc(service)["Inserted"]) == (None, False)
    assert not (folder / FILE).exists()


def test_a_drive_that_is_full_takes_no_other_image(service, images):
    ask(service, "POST", INSERT, {"Image": f"{images}/rescue.iso"})

    second = ask(service, "POST", INSERT, {"Image": f"{images}/rescue.iso"})

    assert (second.status, error_of(second)) == (409, "ResourceInUse")


@pytest.mark.parametrize("path", ["/none.iso", "/moved"])
def test_an_image_that_cannot_be_had_is_refused_and_leaves_nothing(
    service, folder, images, tmp_path, path
):
    (tmp_path / "images" / "moved").mkdir()  # is answered with a redirect to /moved/

    answer = ask(service, "POST", INSERT, {"Image": images + path})

    assert (answer.status, error_of(answer)) == (404, "CouldNotEstablishConnection")
    assert not disc(service)["Inserted"]
    assert not list(folder.glob("disc.*o*")) + list(folder.glob("disc.part"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "ActionParameterMissing"),
        ({"Image": 7}, "ActionParameterValueFormatError"),
        ({"Image": "file:///etc/passwd"}, "ActionParameterValueFormatError"),
        ({"Image": "http://h/a.iso", "Inserted": True}, "ActionParameterUnknown"),
        (b"{", "MalformedJSON"),
    ],
)
def test_what_is_no_image_is_refused(service, body, error):
    assert error_of(ask(service, "POST", INSERT, body)) == error


def test_a_machine_with_a_drive_can_be_told_to_boot_from_it(service):
    body = {"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once"}}

    assert ask(service, "PATCH", shapes.system_path(unit()), body).status == 204


def test_a_drive_is_empty_after_a_restart_whatever_was_left_in_the_folder(folder):
    folder.mkdir()
    (folder / FILE).write_bytes(CONTENT)

    machine = Machine(unit(), Place(folder, namespace="none", tap="r1"))
    machine.close()

    assert not (folder / FILE).exists()
