"""The resources of a BMC."""

import pytest

from deploy.rack.boot import Enabled, Override, Target
from deploy.rack.hardware import Firmware
from deploy.rack.power import PowerState, Reset
from deploy.rack.redfish import documents, shapes, tree
from deploy.rack.redfish.shapes import View
from tests.deploy.test_rack_rules import unit

VIEW = View(unit(), sessions=(("5e55", "admin"),), disc="")
ELSEWHERE = {
    shapes.reset_path(VIEW.hardware),
    *map(shapes.insert_path, ("Insert", "Eject")),
}


def links(value):
    """Yield every `@odata.id` within."""
    match value:
        case dict():
            for name, inner in value.items():
                if name in ("@odata.id", "target"):
                    yield inner
                else:
                    yield from links(inner)
        case list():
            for inner in value:
                yield from links(inner)


def system(view):
    return tree.tree(view)[shapes.system_path(view.hardware)]


def test_every_link_leads_to_a_resource():
    resources = tree.tree(VIEW)

    assert set(links(list(resources.values()))) == set(resources) | ELSEWHERE


def test_every_resource_lies_at_its_own_path_and_has_a_type_and_a_name():
    for path, resource in tree.tree(VIEW).items():
        assert resource["@odata.id"] == path
        assert resource["@odata.type"].startswith("#")
        assert resource["Name"]
        assert resource.get("Id", "collection")


def test_a_collection_counts_its_members():
    collections = [each for each in tree.tree(VIEW).values() if "Members" in each]

    assert len(collections) == 11
    assert all(each["Members@odata.count"] == len(each["Members"]) for each in collections)


@pytest.mark.parametrize(
    "change",
    [
        {"power": PowerState.ON},
        {"override": Override(Target.PXE, Enabled.ONCE)},
        {"fault": "no such firmware"},
    ],
)
def test_what_changes_in_the_system_changes_its_etag(change):
    assert system(View(unit(), **change))["@odata.etag"] != system(VIEW)["@odata.etag"]


def test_the_same_system_has_the_same_etag():
    assert system(View(unit()))["@odata.etag"] == system(View(unit()))["@odata.etag"]


def test_a_machine_that_could_not_start_is_critical():
    assert system(View(unit(), fault="no such firmware"))["Status"]["Health"] == "Critical"


def test_the_system_says_what_it_can_be_told():
    shown = system(View(unit(firmware=Firmware.UEFI)))

    reset = shown["Actions"]["#ComputerSystem.Reset"]
    assert reset["ResetType@Redfish.AllowableValues"] == list(Reset)
    boot = shown["Boot"]
    assert "UefiHttp" in boot["BootSourceOverrideTarget@Redfish.AllowableValues"]
    assert boot["BootSourceOverrideMode"] == "UEFI"


def test_http_boot_is_not_offered_by_a_bios():
    boot = system(VIEW)["Boot"]

    assert "UefiHttp" not in boot["BootSourceOverrideTarget@Redfish.AllowableValues"]
    assert boot["BootSourceOverrideMode"] == "Legacy"


def test_the_disk_is_told_by_serial_identifier_and_size():
    disk = VIEW.hardware.disk
    [drive] = [each for path, each in tree.tree(VIEW).items() if path.endswith("/Drives/1")]

    assert drive["SerialNumber"] == disk.serial
    assert drive["CapacityBytes"] == disk.size
    assert f"uuid.{drive['Identifiers'][0]['DurableName']}" == disk.wwn


@pytest.mark.parametrize(
    "path", ["/redfish", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata"]
)
def test_the_way_in_is_open_to_everyone(path):
    assert documents.find(path, tree.tree(VIEW)).status == 200


def test_the_metadata_document_refers_to_every_type_in_use():
    resources = tree.tree(VIEW)

    xml = documents.find("/redfish/v1/$metadata", resources).body.decode()

    for resource in resources.values():
        namespace = resource["@odata.type"][1:].rpartition(".")[0]
        assert f'Namespace="{namespace}"' in xml
