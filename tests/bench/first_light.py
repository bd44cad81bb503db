"""Seconds from power-on to each stage of a first boot, and what of them was Sprout's."""

import heapq
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from edge.cli.stages import times
from models.observations import Seen
from models.steps import Task
from tests.bench.gaps import gaps, share
from tests.bench.started import started

FIRMWARES = ("bios", "uefi")
STAGES = ("first DHCP answer", "boot script", "deploy kernel", "installed", "active")
REFERENCE_S: Mapping[str, float] = {"bios": 66, "uefi": 68}
"""A prototype of dnsmasq and a bare web server, power-on to a verified SSH command, emulated."""

SHARE_S = 2.0
"""At most, from the asking to active."""


def measure(folder: Path, rounds: int) -> bool:
    """Print the medians of *rounds* for each firmware; return whether they keep their bounds."""
    say("first light: seconds from power-on, emulation (TCG), median of", str(rounds))
    good = True
    for firmware in FIRMWARES:
        runs = [_run(folder / f"{firmware}-{number}", firmware, folder) for number in range(rounds)]
        good &= _report(firmware, runs)
    return good


def _run(folder: Path, firmware: str, images: Path) -> list[dict[str, Any]]:
    with started(folder, firmware, images / "images") as sprout:
        return sprout.provisioning()


def after_power_on(events: Sequence[Mapping[str, Any]], stage: str) -> float:
    """Return the seconds from the BMC's being told to power on to *stage*."""
    told = next(
        event["at"]
        for event in events
        if event["kind"] == Seen.BMC_CALL
        and event["data"]["kind"] == Task.POWER_ON
        and str(event["data"]["path"]).endswith("ComputerSystem.Reset")
    )
    return (times(events)[stage] - datetime.fromisoformat(told)).total_seconds()


def _report(firmware: str, runs: list[list[dict[str, Any]]]) -> bool:
    say(firmware)
    for stage in STAGES:
        taken = median(after_power_on(events, stage) for events in runs)
        say(f"  {stage:<22}{taken:8.2f} s")
    own = median(map(share, runs))
    say(f"  {'reference, to SSH':<22}{REFERENCE_S[firmware]:8.2f} s")
    say(f"  {'control-plane share':<22}{own:8.2f} s of {SHARE_S:.0f} s, the longest gaps:")
    for gap in heapq.nlargest(3, gaps(runs[0]), key=lambda gap: gap.seconds):
        say(f"    {gap.seconds:6.3f} s  {gap.after} -> {gap.before}")
    # The last of STAGES is active: what `taken` holds.
    return own <= SHARE_S and taken <= REFERENCE_S[firmware]


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()
