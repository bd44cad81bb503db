"""What an installed system tells of itself: by which keys it is known, and where it is."""

from collections.abc import Mapping
from typing import Any

from models import phases
from models.observations import Observation, Seen
from models.phases import Phase
from models.tables import Machine, Run


def heed(machine: Machine, seen: Observation) -> None:
    """Keep what *seen* tells of *machine*'s system; the caller holds the lock of the machine."""
    if seen.kind is Seen.INSTALLED and "host_keys" in seen.data:
        _pin(machine, seen)
    elif seen.kind is Seen.PHONED_HOME and "hardware_id" in seen.data:
        told = {"home_address": _text(seen.data, "address")}
        told["hardware_id"] = _text(seen.data, "hardware_id")
        Run.update(told).where(Run.id == seen.run).execute()
    elif seen.kind is Seen.PHONED_HOME:
        keys = [str(v) for k, v in sorted(seen.data.items()) if k.startswith("pub_key_")]
        # Where there is no key of a kind, cloud-init posts "N/A".
        machine.ssh_host_keys = [key.strip() for key in keys if " " in key.strip()]
        machine.save()


def _pin(machine: Machine, seen: Observation) -> None:
    """Keep the keys that are told first: what comes again may be another's."""
    phase = Phase(Run.get_by_id(seen.run).phase)
    if phases.ORDER.index(phase) < phases.ORDER.index(Phase.INSTALLED):
        machine.ssh_host_keys = [str(key) for key in seen.data["host_keys"]]
        machine.save()


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data.get(name, ""))[:256]
