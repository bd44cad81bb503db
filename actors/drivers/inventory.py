"""What a BMC says of its machine, from Redfish documents to plain facts.

Pure: documents in, one JSON value out.  What a BMC leaves out is None, never a guess.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

Json = Mapping[str, Any]

GIB_IN_MIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The resources of one system; *missing* says which could not be read, and why."""

    system: Json
    processors: tuple[Json, ...] = ()
    memory: tuple[Json, ...] = ()
    drives: tuple[Json, ...] = ()
    interfaces: tuple[Json, ...] = ()
    managers: tuple[Json, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return them as one JSON value."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def facts(documents: Documents) -> dict[str, Any]:
    """Return what the documents say, in our words and units."""
    system = documents.system
    return {
        "system": {
            "manufacturer": _text(system, "Manufacturer"),
            "model": _text(system, "Model"),
            "serial": _text(system, "SerialNumber"),
            "uuid": _lower(_text(system, "UUID")),
            "sku": _text(system, "SKU"),
            "bios": _text(system, "BiosVersion"),
        },
        "processors": [_processor(each) for each in documents.processors if _present(each)],
        "memory_mib": summed_mib(system) or _modules_mib(documents.memory),
        "disks": [_disk(each) for each in documents.drives if _present(each)],
        "nics": [nic for nic in map(_nic, documents.interfaces) if nic["mac"]],
        "health": _health(system),
        "ailing": _ailing(documents),
        "power": _lower(_text(system, "PowerState")),
        "bmc": _manager(documents.managers),
        "missing": dict(documents.missing),
    }


def macs(interfaces: Iterable[Json]) -> frozenset[str]:
    """Return the MAC addresses, permanent and current, in lower case with colons.

    What BMCs say of a card whose address they do not know, such as zeros or `N/A`, is none.
    """
    found = (_mac(each, key) for each in interfaces for key in _MAC_KEYS)
    return frozenset(mac for mac in found if mac and _TOLD.fullmatch(mac))


_SICK: Final = frozenset({"Warning", "Critical"})
_DURABLE: Final = ("NAA", "NGUID", "EUI", "UUID")
_MAC_KEYS: Final = ("PermanentMACAddress", "MACAddress")
_TOLD: Final = re.compile(r"(?!00(?::00){5})[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def _processor(document: Json) -> dict[str, Any]:
    return {
        "model": _text(document, "Model"),
        "manufacturer": _text(document, "Manufacturer"),
        "architecture": _text(document, "InstructionSet", "ProcessorArchitecture"),
        "cores": _number(document, "TotalCores"),
        "threads": _number(document, "TotalThreads"),
        "mhz": _number(document, "MaxSpeedMHz"),
    }


def _disk(document: Json) -> dict[str, Any]:
    return {
        "serial": _text(document, "SerialNumber"),
        "wwn": _wwn(document),
        "bytes": _number(document, "CapacityBytes"),
        "model": _text(document, "Model", "Name"),
        "protocol": _text(document, "Protocol"),
        "media": _text(document, "MediaType"),
        "health": _health(document),
    }


def _wwn(document: Json) -> str | None:
    """Return the durable name that Linux shows as the disk's wwid, without its prefix.

    A UUID counts for NVMe alone: elsewhere it is the BMC's own invention.
    """
    names = {
        str(each.get("DurableNameFormat")): _text(each, "DurableName")
        for each in _list(document, "Identifiers")
        if isinstance(each, Mapping)
    }
    wanted = _DURABLE if _text(document, "Protocol") == "NVMe" else _DURABLE[:-1]
    return _lower(next((name for form in wanted if (name := names.get(form))), None))


def _nic(document: Json) -> dict[str, Any]:
    return {
        "mac": next((mac for key in _MAC_KEYS if (mac := _mac(document, key))), None),
        "speed": _number(document, "SpeedMbps"),
        "name": _text(document, "Id", "Name"),
        "link": _text(document, "LinkStatus"),
    }


def _manager(documents: tuple[Json, ...]) -> dict[str, Any]:
    first = documents[0] if documents else {}
    return {
        "model": _text(first, "Model"),
        "firmware": _text(first, "FirmwareVersion"),
        "uuid": _lower(_text(first, "UUID")),
        "health": _health(first),
    }


def summed_mib(system: Json) -> int | None:
    """Return the memory that *system* says it has in all, in MiB; None or 0: it does not know."""
    summary = system.get("MemorySummary")
    gib = _number(summary, "TotalSystemMemoryGiB") if isinstance(summary, Mapping) else None
    return None if gib is None else round(gib * GIB_IN_MIB)


def _modules_mib(modules: tuple[Json, ...]) -> int | None:
    sizes = [_number(each, "CapacityMiB") for each in modules if _present(each)]
    return round(sum(size for size in sizes if size is not None)) or None


def _ailing(documents: Documents) -> list[str]:
    """Return what is not well, each with its health; the system itself by what it says of it."""
    d = documents
    parts = (*d.processors, *d.memory, *d.drives, *d.interfaces, *d.managers)
    sick = (each for each in parts if _present(each) and _health(each) in _SICK)
    named = [f"{_text(each, 'Name', 'Id') or 'a part'}: {_health(each)}" for each in sick]
    return [*_conditions(documents.system), *named]


def _conditions(system: Json) -> list[str]:
    """Return the messages of Status.Conditions, which newer BMCs tell (DSP0268, Resource)."""
    status = system.get("Status")
    told = _list(status, "Conditions") if isinstance(status, Mapping) else []
    messages = (_text(each, "Message", "MessageId") for each in told if isinstance(each, Mapping))
    return [message for message in messages if message]


def _present(document: Json) -> bool:
    """Whether this is a device and not its empty slot."""
    status = document.get("Status")
    return not (isinstance(status, Mapping) and status.get("State") == "Absent")


def _health(document: Json) -> str | None:
    status = document.get("Status")
    return _text(status, "HealthRollup", "Health") if isinstance(status, Mapping) else None


def _mac(document: Json, key: str) -> str | None:
    text = _text(document, key)
    return None if text is None else text.lower().replace("-", ":")


def _text(document: Json, *keys: str) -> str | None:
    values = (document.get(key) for key in keys)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip()), None)


def _number(document: Json, key: str) -> float | None:
    value = document.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _list(document: Json, key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()
