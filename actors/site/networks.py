"""The networks of the site as control tells of them, with this agent's ranges of their pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import structlog

from models.bootnet import BootNetwork, Mode
from models.errors import Invalid
from pxe_stack.store import PLANS, PlanStore, Range

DHCP: Final = "dhcp"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Told:
    """All networks of the site at one *version*, and what this agent may lease from."""

    version: int
    networks: tuple[BootNetwork, ...]
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self | None:
        """Return what a message tells of networks, None when it tells nothing.  Raises Invalid."""
        if "networks" not in body:
            return None
        try:
            return cls(
                int(body.get("networks_version", 0)),
                tuple(BootNetwork.decode(each) for each in body["networks"]),
                tuple(Range.of(each) for each in body.get("ranges", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Invalid(f"a network is malformed: {exc!r}", field="/body/networks") from exc


def remembered(folder: Path) -> tuple[BootNetwork, ...]:
    """Return the networks that control has told the site in *folder* of before."""
    if not (folder / PLANS).exists():
        return ()
    plans = PlanStore(folder / PLANS)
    try:
        return plans.networks()
    finally:
        plans.close()


def keep(told: Told, plans: PlanStore, services: frozenset[str]) -> None:
    """Have what was *told* lie on the disk, and serve from now on; older news is dropped."""
    if not plans.put_networks(told.networks, version=told.version, ranges=told.ranges):
        log.info("networks.outdated", version=told.version)
        return
    log.info("networks.kept", version=told.version, count=len(told.networks))
    wanted = [each.name for each in told.networks if each.mode is not Mode.OFF]
    if wanted and DHCP not in services:
        log.warning("dhcp.off", networks=wanted, remedy="set SPROUT_DHCP_BIND_INTERFACE")
