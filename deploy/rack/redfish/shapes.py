"""The shape that all resources have, and the paths that they lie at.

Source: DMTF DSP0268; the versions are those of the 2023 schema bundles or older, which clients
in the field know.
"""

from dataclasses import dataclass
from typing import Any, Final

from deploy.rack.boot import NO_OVERRIDE, Override
from deploy.rack.hardware import Hardware
from deploy.rack.power import PowerState

ROOT: Final = "/redfish/v1"
SESSION_SERVICE: Final = f"{ROOT}/SessionService"
SESSIONS: Final = f"{SESSION_SERVICE}/Sessions"
CHASSIS_ID: Final = "Chassis1"
CHASSIS: Final = f"{ROOT}/Chassis/{CHASSIS_ID}"
DRIVE: Final = f"{CHASSIS}/Drives/1"
MANAGER: Final = f"{ROOT}/Managers/BMC"

MEDIA: Final = f"{MANAGER}/VirtualMedia"
DISC: Final = f"{MEDIA}/CD1"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What the BMC knows at one moment."""

    hardware: Hardware
    power: PowerState = PowerState.OFF
    override: Override = NO_OVERRIDE
    fault: str = ""
    disc: str | None = None
    """The image in its virtual CD, empty without one; None where there is no drive."""
    session_timeout: int = 600
    sessions: tuple[tuple[str, str], ...] = ()
    """The id and user of each."""


def system_path(hardware: Hardware) -> str:
    return f"{ROOT}/Systems/{hardware.uuid}"


def reset_path(hardware: Hardware) -> str:
    return f"{system_path(hardware)}/Actions/ComputerSystem.Reset"


def insert_path(verb: str) -> str:
    """Return where the virtual CD takes the action *verb*, Insert or Eject."""
    return f"{DISC}/Actions/VirtualMedia.{verb}Media"


def resource(path: str, kind: str, name: str, **properties: Any) -> Resource:
    own_id = path.rpartition("/")[2]
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}.{kind.partition('.')[0]}",
        "Id": own_id,
        "Name": name,
        **properties,
    }


def link(path: str) -> Resource:
    return {"@odata.id": path}


def status(view: View) -> Resource:
    health = "Critical" if view.fault else "OK"
    return {"State": "Enabled", "Health": health, "HealthRollup": health}


def part_status() -> Resource:
    return {"State": "Enabled", "Health": "OK"}
