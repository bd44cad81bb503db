"""What a machine is made of, as its BMC tells it: the inventory."""

from deploy.rack.redfish.shapes import (
    DRIVE,
    Resource,
    View,
    link,
    part_status,
    resource,
    system_path,
)


def processor(view: View) -> Resource:
    return resource(
        f"{system_path(view.hardware)}/Processors/CPU0",
        "Processor.v1_18_0",
        "Processor",
        ProcessorType="CPU",
        InstructionSet="x86-64",
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
        CapacityMiB=view.hardware.memory_mib,
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
        Status=part_status(),
    )


def storage(view: View) -> Resource:
    path = f"{system_path(view.hardware)}/Storage/1"
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
        f"{system_path(view.hardware)}/Storage/1/Controllers/1",
        "StorageController.v1_7_0",
        "NVMe controller",
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
        Identifiers=[{"DurableName": str(disk.uuid), "DurableNameFormat": "UUID"}],
        Status=part_status(),
    )
