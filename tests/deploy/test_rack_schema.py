"""What DMTF's schemas (DSP8010) and its service validator ask of the resources of a BMC."""

import re

import pytest

from deploy.rack.boot import Enabled, Override, Target
from deploy.rack.hardware import Firmware
from deploy.rack.power import PowerState
from deploy.rack.redfish import shapes, tree
from deploy.rack.redfish.shapes import View
from tests.deploy.test_rack_rules import unit

VIEWS = (
    View(unit(), disc="", sessions=(("5e55", "admin"),)),
    View(unit(), disc="http://images.example/a.iso", power=PowerState.ON),
    View(unit(firmware=Firmware.UEFI), fault="no such firmware"),
    View(
        unit(firmware=Firmware.UEFI),
        power=PowerState.POWERING_ON,
        override=Override(Target.UEFI_HTTP, Enabled.ONCE),
    ),
)

HEALTH = {"OK", "Warning", "Critical"}
VALUES = {
    "State": {"Enabled", "Disabled", "Absent", "StandbyOffline"},
    "Health": HEALTH,
    "HealthRollup": HEALTH,
    "PowerState": {"On", "Off", "PoweringOn", "PoweringOff"},
    "SystemType": {"Physical"},
    "ChassisType": {"RackMount"},
    "ManagerType": {"BMC"},
    "ProcessorType": {"CPU"},
    "ProcessorArchitecture": {"x86"},
    "InstructionSet": {"x86-64"},
    "MemoryType": {"DRAM"},
    "MemoryDeviceType": {"DDR4"},
    "ErrorCorrection": {"NoECC"},
    "LinkStatus": {"LinkUp", "NoLink", "LinkDown"},
    "MediaType": {"SSD"},
    "Protocol": {"NVMe"},
    "DurableNameFormat": {"NAA", "FC_WWN", "UUID", "EUI", "NGUID", "NSID"},
    "ConnectedVia": {"NotConnected", "URI"},
    "BootSourceOverrideEnabled": {"Disabled", "Once", "Continuous"},
    "BootSourceOverrideMode": {"Legacy", "UEFI"},
    "BootSourceOverrideTarget": {"None", "Pxe", "Hdd", "Cd", "UefiHttp"},
}
"""Of each enumeration the members that a BMC of the rack may show."""

NEEDED = {
    "ServiceRoot": {"Links"},
    "Chassis": {"ChassisType"},
    "ComputerSystem": {"UUID", "SerialNumber", "Status", "Storage", "EthernetInterfaces"},
    "Processor": {"TotalCores", "TotalThreads", "MaxSpeedMHz", "InstructionSet"},
    "Memory": {"CapacityMiB", "MemoryDeviceType", "SerialNumber", "DeviceLocator"},
    "EthernetInterface": {"MACAddress", "PermanentMACAddress", "LinkStatus", "SpeedMbps"},
    "Storage": {"Drives", "Drives@odata.count", "Controllers"},
    "StorageController": {"SupportedDeviceProtocols"},
    "Drive": {"SerialNumber", "CapacityBytes", "Identifiers", "Protocol", "Links"},
    "VirtualMedia": {"MediaTypes", "Inserted", "Actions"},
}
"""What the schemas require, and what an inventory lives of."""

PATTERNS = {
    "MACAddress": r"([0-9A-F]{2}:){5}[0-9A-F]{2}",
    "PermanentMACAddress": r"([0-9A-F]{2}:){5}[0-9A-F]{2}",
    "UUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "@odata.etag": r'(W/)?"[^"]+"',
    "@odata.id": r"/redfish/v1(/[^/?#]+)*",
    "@odata.type": r"#[A-Za-z]+(\.v\d+_\d+_\d+)?\.[A-Za-z]+",
}
NAME = re.compile(
    r"[A-Z][A-Za-z0-9]*|([A-Z][A-Za-z0-9]*)?@(odata|Redfish)\.[A-Za-z]+|#[A-Za-z.]+|target"
)


def resources(view):
    return tree.tree(view).values()


def members(value):
    """Yield every name with its value, at any depth."""
    match value:
        case dict():
            for name, inner in value.items():
                yield name, inner
                yield from members(inner)
        case list():
            for inner in value:
                yield from members(inner)


def kind(resource):
    return resource["@odata.type"].rpartition(".")[2]


@pytest.mark.parametrize("view", VIEWS)
def test_enumerations_hold_their_members_alone(view):
    told = [(name, value) for name, value in members(list(resources(view))) if name in VALUES]

    assert {name for name, value in told if value not in VALUES[name]} == set()


@pytest.mark.parametrize("view", VIEWS)
def test_each_resource_has_what_its_schema_requires(view):
    lacking = {
        (kind(each), name)
        for each in resources(view)
        for name in NEEDED.get(kind(each), set()) - each.keys()
    }

    assert lacking == set()


@pytest.mark.parametrize("view", VIEWS)
def test_names_and_forms_are_those_of_the_schemas(view):
    told = [pair for each in resources(view) for pair in members(each)]

    assert {name for name, _ in told if not NAME.fullmatch(name)} == set()
    wrong = {
        (name, value)
        for name, value in told
        if name in PATTERNS and not re.fullmatch(PATTERNS[name], value)
    }
    assert wrong == set()


@pytest.mark.parametrize("view", VIEWS)
def test_an_allowable_value_list_holds_what_is_set(view):
    for each in resources(view):
        told = dict(members(each))
        for name, allowed in told.items():
            value = told.get(name.removesuffix("@Redfish.AllowableValues"))
            if name.endswith("@Redfish.AllowableValues") and value is not None:
                assert value in allowed


@pytest.mark.parametrize("view", VIEWS)
def test_arrays_of_links_are_counted_and_hold_no_null(view):
    for each in resources(view):
        for name, value in members(each):
            assert not (isinstance(value, list) and None in value)
            if name.endswith("@odata.count"):
                assert value == len(dict(members(each))[name.removesuffix("@odata.count")])


@pytest.mark.parametrize(("power", "link"), [("On", "LinkUp"), ("Off", "NoLink")])
def test_a_card_has_a_link_while_its_machine_is_on(power, link):
    view = View(unit(), power=PowerState(power))
    path = f"{shapes.system_path(view.hardware)}/EthernetInterfaces/NIC1"

    assert tree.tree(view)[path]["LinkStatus"] == link


def test_a_drive_and_its_store_lead_to_one_another():
    found = tree.tree(VIEWS[0])
    drive = found[shapes.DRIVE]

    [store] = (found[link["@odata.id"]] for link in drive["Links"]["Storage"])
    assert shapes.link(shapes.DRIVE) in store["Drives"]
