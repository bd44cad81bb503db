"""What a machine is made of: the documents of a system's parts, wherever its BMC has them.

Source: DMTF DSP0268; older BMCs have disks in SimpleStorage, and some have cards at the chassis
alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from actors.drivers import inventory
from actors.drivers.errors import Garbled
from actors.drivers.redfish_line import Line, translated
from actors.drivers.systems import Target

Json = Mapping[str, Any]
Read = Callable[[Json], tuple[Any, ...]]
"""Reads one kind of part of a system."""

MOST_MEMBERS: Final = 256
"""Members of one collection that are read."""


class Parts:
    """Reads documents over one login.  Every method raises DriverError."""

    def __init__(self, line: Line, target: Target) -> None:
        self._line = line
        self._target = target

    def processors(self, system: Json) -> tuple[Any, ...]:
        return self._members(system, "Processors")

    def modules(self, system: Json) -> tuple[Any, ...]:
        """Return the modules of memory, where the system itself does not know their sum."""
        return () if inventory.summed_mib(system) else self._members(system, "Memory")

    def drives(self, system: Json) -> tuple[Any, ...]:
        if "Storage" in system:
            stores = self._members(system, "Storage")
            paths = [path for store in stores for path in _links(store.get("Drives"))]
            if paths:
                return tuple(self._read(path) for path in paths[:MOST_MEMBERS])
        simple = self._members(system, "SimpleStorage")
        return tuple(disk for each in simple for disk in each.get("Devices") or ())

    def cards(self, system: Json) -> tuple[Any, ...]:
        """Return the network cards: those of the system, else those of its chassis."""
        own = self._members(system, "EthernetInterfaces")
        return own if inventory.macs(own) else (*own, *self._chassis_cards(system))

    def managers(self, system: Json) -> tuple[Any, ...]:
        return self._linked(system, "ManagedBy")

    def paths(self, document: Json, name: str) -> list[str]:
        """Return where the members of the collection are that *document* links to as *name*."""
        path = next(iter(_links([document.get(name)])), "")
        return _links(self._read(path).get("Members"))

    def get(self, path: str) -> Any:
        """Return the BMC's answer."""
        if not path:
            raise Garbled(f"{self._target.address}: a resource lacks the link that all have")
        with translated(self._target):
            return self._line.get(path)

    def document(self, path: str, answer: Any) -> Json:
        """Return the resource that *answer* holds."""
        with translated(self._target):
            document = answer.json()
        if not isinstance(document, Mapping):
            raise Garbled(f"{self._target.address}: {path} is no resource")
        return document

    def _chassis_cards(self, system: Json) -> tuple[Any, ...]:
        adapters = [
            adapter
            for chassis in self._linked(system, "Chassis")
            for adapter in self._members(chassis, "NetworkAdapters")
        ]
        functions = [
            function
            for adapter in adapters[:MOST_MEMBERS]
            for function in self._members(adapter, "NetworkDeviceFunctions")
        ]
        return tuple({**each, **(each.get("Ethernet") or {})} for each in functions)

    def _linked(self, system: Json, name: str) -> tuple[Json, ...]:
        """Return the first of what *system* names under Links as *name*, if it names any."""
        links = system.get("Links") or {}
        return tuple(self._read(path) for path in _links(links.get(name))[:1])

    def _members(self, document: Json, name: str) -> tuple[Json, ...]:
        """Return the members of the collection that *document* links to as *name*; () if none."""
        if name not in document:
            return ()
        return tuple(self._read(path) for path in self.paths(document, name))

    def _read(self, path: str) -> Json:
        return self.document(path, self.get(path))


def _links(references: Any) -> list[str]:
    """Return the paths that a list of references holds; what is none is left out."""
    entries = references if isinstance(references, list) else []
    paths = (each.get("@odata.id") for each in entries if isinstance(each, Mapping))
    return [path for path in paths if isinstance(path, str)][:MOST_MEMBERS]
