"""Every resource of a BMC as a value: what a GET shows, and nothing else.

Source: DMTF DSP0268; the versions are those of the 2023 schema bundles or older, which clients
in the field know.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Any, Final

from deploy.rack.boot import MODES, NO_OVERRIDE, TARGETS, Enabled, Override
from deploy.rack.hardware import Hardware
from deploy.rack.power import PowerState, Reset

ROOT: Final = "/redfish/v1"
SESSION_SERVICE: Final = f"{ROOT}/SessionService"
SESSIONS: Final = f"{SESSION_SERVICE}/Sessions"
CHASSIS_ID: Final = "Chassis1"
CHASSIS: Final = f"{ROOT}/Chassis/{CHASSIS_ID}"
MANAGER: Final = f"{ROOT}/Managers/BMC"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What the BMC knows at one moment."""

    hardware: Hardware
    power: PowerState = PowerState.OFF
    override: Override = NO_OVERRIDE
    fault: str = ""
    session_timeout: int = 600
    sessions: tuple[tuple[str, str], ...] = ()
    """The id and user of each."""


def system_path(hardware: Hardware) -> str:
    return f"{ROOT}/Systems/{hardware.uuid}"


def reset_path(hardware: Hardware) -> str:
    return f"{system_path(hardware)}/Actions/ComputerSystem.Reset"


def tree(view: View) -> dict[str, Resource]:
    """Return all resources by path, each with its ETag in `@odata.etag`."""
    system = system_path(view.hardware)
    resources = [
        _root(view),
        *_collection(f"{ROOT}/Systems", "ComputerSystem", [_system(view)]),
        *_collection(f"{ROOT}/Chassis", "Chassis", [_chassis(view)]),
        *_collection(f"{ROOT}/Managers", "Manager", [_manager(view)]),
        *_collection(f"{system}/Processors", "Processor", [_processor(view)]),
        *_collection(f"{system}/Memory", "Memory", [_dimm(view)]),
        *_collection(f"{system}/EthernetInterfaces", "EthernetInterface", [_nic(view)]),
        *_collection(f"{system}/Storage", "Storage", [_storage(view)]),
        *_collection(f"{system}/Storage/1/Controllers", "StorageController", [_controller(view)]),
        _drive(view),
        _session_service(view),
        *_collection(SESSIONS, "Session", [_session(*session) for session in view.sessions]),
    ]
    return {resource["@odata.id"]: _tagged(resource) for resource in resources}


def _tagged(resource: Resource) -> Resource:
    digest = sha256(dumps(resource, sort_keys=True).encode()).hexdigest()
    return {**resource, "@odata.etag": f'"{digest[:16]}"'}


def _resource(path: str, kind: str, name: str, **properties: Any) -> Resource:
    own_id = path.rpartition("/")[2]
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}.{kind.partition('.')[0]}",
        "Id": own_id,
        "Name": name,
        **properties,
    }


def _link(path: str) -> Resource:
    return {"@odata.id": path}


def _collection(path: str, kind: str, members: Iterable[Resource]) -> list[Resource]:
    listed = list(members)
    links = [_link(member["@odata.id"]) for member in listed]
    collection = {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members": links,
        "Members@odata.count": len(links),
    }
    return [collection, *listed]


def _status(view: View) -> Resource:
    return {"State": "Enabled", "Health": "Critical" if view.fault else "OK"}


def _part_status() -> Resource:
    return {"State": "Enabled", "Health": "OK"}


def _root(view: View) -> Resource:
    return _resource(
        ROOT,
        "ServiceRoot.v1_16_0",
        "Root Service",
        Id="RootService",
        RedfishVersion="1.18.0",
        UUID=str(view.hardware.bmc_uuid),
        Vendor="Sprout",
        Product="Rack BMC",
        Systems=_link(f"{ROOT}/Systems"),
        Chassis=_link(f"{ROOT}/Chassis"),
        Managers=_link(f"{ROOT}/Managers"),
        SessionService=_link(SESSION_SERVICE),
        Links={"Sessions": _link(SESSIONS)},
    )


def _system(view: View) -> Resource:
    unit, path = view.hardware, system_path(view.hardware)
    parts = ("Processors", "Memory", "EthernetInterfaces", "Storage")
    return _resource(
        path,
        "ComputerSystem.v1_20_0",
        unit.name,
        SystemType="Physical",
        Manufacturer="Sprout",
        Model="Rack",
        SerialNumber=unit.serial,
        UUID=str(unit.uuid),
        HostName="",
        PowerState=view.power,
        Status=_status(view),
        Boot=_boot(view),
        ProcessorSummary=_processor_summary(unit),
        MemorySummary={"TotalSystemMemoryGiB": unit.memory_mib / 1024, "Status": _part_status()},
        Links={"Chassis": [_link(CHASSIS)], "ManagedBy": [_link(MANAGER)]},
        Actions={"#ComputerSystem.Reset": _reset_action(unit)},
        **{part: _link(f"{path}/{part}") for part in parts},
    )


def _processor_summary(unit: Hardware) -> Resource:
    return {
        "Count": 1,
        "CoreCount": unit.cores,
        "LogicalProcessorCount": unit.cores,
        "Model": "QEMU Virtual CPU",
        "Status": _part_status(),
    }


def _boot(view: View) -> Resource:
    firmware = view.hardware.firmware
    key = "BootSourceOverride"
    allowable = "@Redfish.AllowableValues"
    return {
        f"{key}Enabled": view.override.enabled,
        f"{key}Enabled{allowable}": list(Enabled),
        f"{key}Target": view.override.target,
        f"{key}Target{allowable}": list(TARGETS[firmware]),
        f"{key}Mode": MODES[firmware],
        f"{key}Mode{allowable}": [MODES[firmware]],
    }


def _reset_action(unit: Hardware) -> Resource:
    return {"target": reset_path(unit), "ResetType@Redfish.AllowableValues": list(Reset)}


def _processor(view: View) -> Resource:
    return _resource(
        f"{system_path(view.hardware)}/Processors/CPU0",
        "Processor.v1_18_0",
        "Processor",
        ProcessorType="CPU",
        InstructionSet="x86-64",
        Manufacturer="QEMU",
        Model="QEMU Virtual CPU",
        TotalCores=view.hardware.cores,
        TotalThreads=view.hardware.cores,
        Status=_part_status(),
    )


def _dimm(view: View) -> Resource:
    return _resource(
        f"{system_path(view.hardware)}/Memory/DIMM0",
        "Memory.v1_18_0",
        "Memory module",
        MemoryType="DRAM",
        CapacityMiB=view.hardware.memory_mib,
        Status=_part_status(),
    )


def _nic(view: View) -> Resource:
    # BMCs tell addresses in upper case, systems in lower case: a client has to take both.
    mac = view.hardware.mac.upper()
    return _resource(
        f"{system_path(view.hardware)}/EthernetInterfaces/NIC1",
        "EthernetInterface.v1_9_0",
        "Ethernet interface",
        MACAddress=mac,
        PermanentMACAddress=mac,
        InterfaceEnabled=True,
        Status=_part_status(),
    )


def _storage(view: View) -> Resource:
    path = f"{system_path(view.hardware)}/Storage/1"
    return _resource(
        path,
        "Storage.v1_15_0",
        "NVMe storage",
        Controllers=_link(f"{path}/Controllers"),
        Drives=[_link(f"{path}/Drives/1")],
        **{"Drives@odata.count": 1},
        Status=_part_status(),
    )


def _controller(view: View) -> Resource:
    return _resource(
        f"{system_path(view.hardware)}/Storage/1/Controllers/1",
        "StorageController.v1_7_0",
        "NVMe controller",
        Model="QEMU NVMe Ctrl",
        SerialNumber=view.hardware.disk.serial,
        SupportedControllerProtocols=["PCIe"],
        SupportedDeviceProtocols=["NVMe"],
        Status=_part_status(),
    )


def _drive(view: View) -> Resource:
    disk = view.hardware.disk
    return _resource(
        f"{system_path(view.hardware)}/Storage/1/Drives/1",
        "Drive.v1_18_0",
        "NVMe drive",
        Manufacturer="QEMU",
        Model="QEMU NVMe Ctrl",
        SerialNumber=disk.serial,
        CapacityBytes=disk.size,
        BlockSizeBytes=512,
        MediaType="SSD",
        Protocol="NVMe",
        Identifiers=[{"DurableName": str(disk.uuid), "DurableNameFormat": "UUID"}],
        Status=_part_status(),
    )


def _chassis(view: View) -> Resource:
    unit = view.hardware
    return _resource(
        CHASSIS,
        "Chassis.v1_23_0",
        "Chassis",
        ChassisType="RackMount",
        Manufacturer="Sprout",
        Model="Rack",
        SerialNumber=unit.serial,
        PowerState=view.power,
        Status=_status(view),
        Links={"ComputerSystems": [_link(system_path(unit))], "ManagedBy": [_link(MANAGER)]},
    )


def _manager(view: View) -> Resource:
    unit = view.hardware
    servers, chassis = [_link(system_path(unit))], [_link(CHASSIS)]
    return _resource(
        MANAGER,
        "Manager.v1_19_0",
        "BMC",
        ManagerType="BMC",
        Manufacturer="Sprout",
        Model="Rack BMC",
        FirmwareVersion="1.0.0",
        UUID=str(unit.bmc_uuid),
        PowerState="On",
        Status=_part_status(),
        Links={"ManagerForServers": servers, "ManagerForChassis": chassis},
    )


def _session_service(view: View) -> Resource:
    return _resource(
        SESSION_SERVICE,
        "SessionService.v1_1_9",
        "Session Service",
        ServiceEnabled=True,
        SessionTimeout=view.session_timeout,
        Sessions=_link(SESSIONS),
        Status=_part_status(),
    )


def _session(session_id: str, user: str) -> Resource:
    path = f"{SESSIONS}/{session_id}"
    return _resource(path, "Session.v1_7_0", "User session", UserName=user)
