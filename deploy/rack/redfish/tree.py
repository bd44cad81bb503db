"""Every resource of a BMC as a value: what a GET shows, and nothing else."""

from collections.abc import Iterable
from hashlib import sha256
from json import dumps

from deploy.rack.boot import MODES, Enabled, targets
from deploy.rack.hardware import Hardware
from deploy.rack.power import Reset
from deploy.rack.redfish import parts
from deploy.rack.redfish.shapes import (
    CHASSIS,
    DISC,
    MANAGER,
    MEDIA,
    ROOT,
    SESSION_SERVICE,
    SESSIONS,
    Resource,
    View,
    insert_path,
    link,
    part_status,
    reset_path,
    resource,
    status,
    system_path,
)


def tree(view: View) -> dict[str, Resource]:
    """Return all resources by path, each with its ETag in `@odata.etag`."""
    system = system_path(view.hardware)
    controllers = f"{system}/Storage/1/Controllers"
    resources = [
        _root(view),
        *_collection(f"{ROOT}/Systems", "ComputerSystem", [_system(view)]),
        *_collection(f"{ROOT}/Chassis", "Chassis", [_chassis(view)]),
        *_collection(f"{ROOT}/Managers", "Manager", [_manager(view)]),
        *_collection(f"{system}/Processors", "Processor", [parts.processor(view)]),
        *_collection(f"{system}/Memory", "Memory", [parts.dimm(view)]),
        *_collection(f"{system}/EthernetInterfaces", "EthernetInterface", [parts.nic(view)]),
        *_collection(f"{system}/Storage", "Storage", [parts.storage(view)]),
        *_collection(controllers, "StorageController", [parts.controller(view)]),
        *_collection(f"{CHASSIS}/Drives", "Drive", [parts.drive(view)]),
        *_media(view),
        _session_service(view),
        *_collection(SESSIONS, "Session", [_session(*session) for session in view.sessions]),
    ]
    return {each["@odata.id"]: _tagged(each) for each in resources}


def _tagged(plain: Resource) -> Resource:
    digest = sha256(dumps(plain, sort_keys=True).encode()).hexdigest()
    return {**plain, "@odata.etag": f'"{digest[:16]}"'}


def _collection(path: str, kind: str, members: Iterable[Resource]) -> list[Resource]:
    listed = list(members)
    links = [link(member["@odata.id"]) for member in listed]
    collection = {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members": links,
        "Members@odata.count": len(links),
    }
    return [collection, *listed]


def _root(view: View) -> Resource:
    return resource(
        ROOT,
        "ServiceRoot.v1_16_0",
        "Root Service",
        Id="RootService",
        RedfishVersion="1.18.0",
        UUID=str(view.hardware.bmc_uuid),
        Vendor="Sprout",
        Product="Rack BMC",
        Systems=link(f"{ROOT}/Systems"),
        Chassis=link(f"{ROOT}/Chassis"),
        Managers=link(f"{ROOT}/Managers"),
        SessionService=link(SESSION_SERVICE),
        Links={"Sessions": link(SESSIONS)},
    )


def _system(view: View) -> Resource:
    unit, path = view.hardware, system_path(view.hardware)
    inside = ("Processors", "Memory", "EthernetInterfaces", "Storage")
    return resource(
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
        Status=status(view),
        Boot=_boot(view),
        ProcessorSummary=_processor_summary(unit),
        MemorySummary={"TotalSystemMemoryGiB": unit.memory_mib / 1024, "Status": part_status()},
        Links={"Chassis": [link(CHASSIS)], "ManagedBy": [link(MANAGER)]},
        Actions={"#ComputerSystem.Reset": _reset_action(unit)},
        **{part: link(f"{path}/{part}") for part in inside},
    )


def _processor_summary(unit: Hardware) -> Resource:
    return {
        "Count": 1,
        "CoreCount": unit.cores,
        "LogicalProcessorCount": unit.cores,
        "Model": "QEMU Virtual CPU",
        "Status": part_status(),
    }


def _boot(view: View) -> Resource:
    firmware = view.hardware.firmware
    able = targets(firmware, disc=view.disc is not None)
    key = "BootSourceOverride"
    allowable = "@Redfish.AllowableValues"
    return {
        f"{key}Enabled": view.override.enabled,
        f"{key}Enabled{allowable}": list(Enabled),
        f"{key}Target": view.override.target,
        f"{key}Target{allowable}": list(able),
        f"{key}Mode": MODES[firmware],
        f"{key}Mode{allowable}": [MODES[firmware]],
    }


def _reset_action(unit: Hardware) -> Resource:
    return {"target": reset_path(unit), "ResetType@Redfish.AllowableValues": list(Reset)}


def _chassis(view: View) -> Resource:
    unit = view.hardware
    return resource(
        CHASSIS,
        "Chassis.v1_23_0",
        "Chassis",
        ChassisType="RackMount",
        Manufacturer="Sprout",
        Model="Rack",
        SerialNumber=unit.serial,
        PowerState=view.power,
        Status=status(view),
        Drives=link(f"{CHASSIS}/Drives"),
        Links={"ComputerSystems": [link(system_path(unit))], "ManagedBy": [link(MANAGER)]},
    )


def _manager(view: View) -> Resource:
    unit = view.hardware
    servers, chassis = [link(system_path(unit))], [link(CHASSIS)]
    return resource(
        MANAGER,
        "Manager.v1_19_0",
        "BMC",
        ManagerType="BMC",
        Manufacturer="Sprout",
        Model="Rack BMC",
        FirmwareVersion="1.0.0",
        UUID=str(unit.bmc_uuid),
        PowerState="On",
        Status=part_status(),
        Links={"ManagerForServers": servers, "ManagerForChassis": chassis},
        **({} if view.disc is None else {"VirtualMedia": link(MEDIA)}),
    )


def _media(view: View) -> list[Resource]:
    if view.disc is None:
        return []
    verbs = ("Insert", "Eject")
    disc = resource(
        DISC,
        "VirtualMedia.v1_6_0",
        "Virtual CD",
        MediaTypes=["CD", "DVD"],
        Image=view.disc or None,
        ImageName=view.disc.rpartition("/")[2] or None,
        Inserted=bool(view.disc),
        ConnectedVia="URI" if view.disc else "NotConnected",
        WriteProtected=True,
        Actions={f"#VirtualMedia.{verb}Media": {"target": insert_path(verb)} for verb in verbs},
        Status=part_status(),
    )
    return _collection(MEDIA, "VirtualMedia", [disc])


def _session_service(view: View) -> Resource:
    return resource(
        SESSION_SERVICE,
        "SessionService.v1_1_9",
        "Session Service",
        ServiceEnabled=True,
        SessionTimeout=view.session_timeout,
        Sessions=link(SESSIONS),
        Status=part_status(),
    )


def _session(session_id: str, user: str) -> Resource:
    path = f"{SESSIONS}/{session_id}"
    return resource(path, "Session.v1_7_0", "User session", UserName=user)
