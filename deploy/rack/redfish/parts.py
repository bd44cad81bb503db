"""What a machine is made of, as its BMC tells it: the inventory."""

from typing import Final

from deploy.rack.power import PowerState
from deploy.rack.redfish.shapes import (
    CHASSIS,
    DRIVE,
    Resource,
    View,
    link,
    part_status,
    resource,
    system_path,
)

_CPU_MHZ: Final = 2000
_DIMM_MHZ: Final = 2400
_NIC_MBPS: Final = 1000
"""QEMU's devices have no clock and no wire: these are what such hardware would say."""

_LIT: Final = frozenset({PowerState.ON, PowerState.POWERING_OFF})


def _store(view: View) -> str:
    return f"{system_path(view.hardware)}/Storage/1"


def processor(view: View) -> Resource:
    return resource(
        f"{system_path(view.hardware)}/Processors/CPU0",
        "Processor.v1_18_0",
        "Processor",
        ProcessorType="CPU",
        ProcessorArchitecture="x86",
        InstructionSet="x86-64",
        Socket="CPU0",
        MaxSpeedMHz=_CPU_MHZ,
        Manufacturer="QEMU",
        Model="QEMU Virtual CPU",
        TotalCores=view.hardware.cores,
        TotalThreads=view.hardware.cores,
        Status=part_status(),
    )


def dimm(view: View) -> Resource:
    return resource(
        f"{system_path(view.hardware)}/Memory/DIMM0",
        "Memory.v1_18_0",
        "Memory module",
        MemoryType="DRAM",
        MemoryDeviceType="DDR4",
        Manufacturer="QEMU",
        SerialNumber=f"{view.hardware.serial}-D0",
        DeviceLocator="DIMM0",
        CapacityMiB=view.hardware.memory_mib,
        OperatingSpeedMhz=_DIMM_MHZ,
        ErrorCorrection="NoECC",
        Status=part_status(),
    )


def nic(view: View) -> Resource:
    # BMCs tell addresses in upper case, systems in lower case: a client has to take both.
    mac = view.hardware.mac.upper()
    return resource(
        f"{system_path(view.hardware)}/EthernetInterfaces/NIC1",
        "EthernetInterface.v1_9_0",
        "Ethernet interface",
        MACAddress=mac,
        PermanentMACAddress=mac,
        InterfaceEnabled=True,
        LinkStatus="LinkUp" if view.power in _LIT else "NoLink",
        SpeedMbps=_NIC_MBPS,
        FullDuplex=True,
        MTUSize=1500,
        Status=part_status(),
    )


def storage(view: View) -> Resource:
    path = _store(view)
    return resource(
        path,
        "Storage.v1_15_0",
        "NVMe storage",
        Controllers=link(f"{path}/Controllers"),
        Drives=[link(DRIVE)],
        **{"Drives@odata.count": 1},
        Status=part_status(),
    )


def controller(view: View) -> Resource:
    return resource(
        f"{_store(view)}/Controllers/1",
        "StorageController.v1_7_0",
        "NVMe controller",
        Manufacturer="QEMU",
        Model="QEMU NVMe Ctrl",
        SerialNumber=view.hardware.disk.serial,
        SupportedControllerProtocols=["PCIe"],
        SupportedDeviceProtocols=["NVMe"],
        Status=part_status(),
    )


def drive(view: View) -> Resource:
    disk = view.hardware.disk
    return resource(
        DRIVE,
        "Drive.v1_18_0",
        "NVMe drive",
        Manufacturer="QEMU",
        Model="QEMU NVMe Ctrl",
        SerialNumber=disk.serial,
        CapacityBytes=disk.size,
        BlockSizeBytes=512,
        MediaType="SSD",
        Protocol="NVMe",
        FailurePredicted=False,
        Identifiers=[{"DurableName": str(disk.uuid), "DurableNameFormat": "UUID"}],
        Links={"Chassis": link(CHASSIS), "Storage": [link(_store(view))]},
        Status=part_status(),
    )
