"""`python -m deploy.rack up|simulated|sweep|check`."""

import argparse
import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Final, TextIO

from deploy.rack import leftovers, needs
from deploy.rack.hardware import Firmware
from deploy.rack.logs import JsonLines
from deploy.rack.machine import Patience
from deploy.rack.rack import GIB, Rack
from deploy.rack.simulated import command

_UNITS: Final = {"M": 1 << 20, "G": GIB, "T": 1 << 40}


def main(words: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, or 1 with the reason on standard error."""
    asked = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, handlers=[JsonLines(sys.stderr)])
    try:
        status: int = asked.run(asked)
    except (leftovers.Occupied, OSError, ValueError) as exc:
        print(f"rack: {exc}", file=sys.stderr)
        return 1
    return status


def up(asked: argparse.Namespace) -> int:
    if lacking := needs.missing([asked.firmware]):
        _tell(lacking, sys.stderr)
        return 1
    ending = Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    rack = Rack(
        asked.state,
        machines=asked.machines,
        firmware=asked.firmware,
        name=asked.name,
        cidr=asked.cidr,
        address=asked.address,
        namespace=asked.netns,
        memory_mib=asked.memory,
        disk_bytes=asked.disk,
        cores=asked.cores,
        bmc_port=asked.bmc_port,
        patience=Patience(insist=asked.insist),
        advertise=asked.advertise,
    )
    with rack:
        print(json.dumps(rack.describe()), flush=True)
        ending.wait()
    return 0


def sweep(asked: argparse.Namespace) -> int:
    with leftovers.locked(asked.state):
        for line in leftovers.sweep(asked.state):
            print(f"removed {line}")
    return 0


def check(asked: argparse.Namespace) -> int:
    lacking = needs.missing([asked.firmware] if asked.firmware else tuple(Firmware))
    if asked.json:
        print(json.dumps(needs.report(lacking)))
    else:
        _tell(lacking, sys.stdout)
    return 1 if lacking else 0


def _tell(lacking: Sequence[needs.Need], stream: TextIO) -> None:
    for need in lacking:
        print(f"missing: {need.what}", file=stream)
    for remedy in needs.remedies(lacking):
        print(f"do: {remedy}", file=stream)
    if not lacking:
        print("nothing is missing", file=stream)


def _size(text: str) -> int:
    """`4G` → bytes; raise ValueError."""
    unit = _UNITS.get(text[-1:].upper(), 1)
    return int(text if unit == 1 else text[:-1]) * unit


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.rack", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_up(commands.add_parser("up", help="run a rack until SIGTERM or SIGINT"))
    command.add(commands.add_parser("simulated", help="run machines that are played, as any user"))

    sweeping = commands.add_parser("sweep", help="remove what a killed rack left behind")
    sweeping.add_argument("--state", type=Path, required=True)
    sweeping.set_defaults(run=sweep)

    checking = commands.add_parser("check", help="say what is missing to run a rack here")
    checking.add_argument("--firmware", type=Firmware, choices=list(Firmware))
    checking.add_argument("--json", action="store_true")
    checking.set_defaults(run=check)
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, required=True, help="folder of disks and rack.json")
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--firmware", type=Firmware, choices=list(Firmware), default=Firmware.BIOS)
    parser.add_argument("--name", default="rack", help="MACs, serials and UUIDs follow from it")
    parser.add_argument("--cidr", default="10.77.0.0/24")
    parser.add_argument("--address", default="10.77.0.1", help="ours, on the bridge")
    parser.add_argument("--netns", default="", help="default: a name with our pid")
    parser.add_argument("--memory", type=int, default=1024, help="MiB a machine")
    parser.add_argument("--cores", type=int, default=1, help="a machine")
    parser.add_argument("--disk", type=_size, default=4 * GIB, help="a machine; default 4G")
    parser.add_argument(
        "--bmc-port", type=int, default=0, help="of r1, r2 has the next; default: as last time"
    )
    parser.add_argument(
        "--insist", action="store_true", help="cut off who ignores the power button for 30 s"
    )
    parser.add_argument(
        "--no-advertise",
        dest="advertise",
        action="store_false",
        help="leave router solicitations to a site whose network answers them",
    )
    parser.set_defaults(run=up)


if __name__ == "__main__":
    sys.exit(main())
