"""`python -m deploy.rack simulated`: machines for rehearsals, figures and faults."""

import argparse
import asyncio
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from deploy.rack.hardware import Firmware
from deploy.rack.simulated import image, rack
from deploy.rack.simulated.pace import Order, Pace

_TIMES: Final = ("post", "kernel", "install", "start", "stop", "grace", "retry")


def run(asked: argparse.Namespace) -> int:
    """Run the machines until SIGTERM, SIGINT or SIGHUP.  Raises Occupied, OSError, ValueError."""
    if asked.image:
        image.build(asked.image)
    order = rack.Order(
        state=asked.state.absolute(),
        machines=asked.machines,
        name=asked.name,
        firmware=asked.firmware,
        dhcp=asked.dhcp,
        tftp_port=asked.tftp_port,
        relay=asked.relay,
        bmc_port=asked.bmc_port,
        pace=_pace(asked),
    )
    asyncio.run(_until_told(order))
    return 0


async def _until_told(order: rack.Order) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ending.set)
    await rack.run(order, ending)


def _pace(asked: argparse.Namespace) -> Pace:
    given: dict[str, Any] = {each.name: getattr(asked, each.name, None) for each in fields(Pace)}
    return Pace(**{name: value for name, value in given.items() if value is not None})


def _server(text: str) -> tuple[str, int]:
    """`127.64.0.1:10067` → address and port; raise ValueError."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.set_defaults(run=run)
    parser.add_argument("--state", type=Path, required=True, help="folder of drives and rack.json")
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--firmware", type=Firmware, choices=list(Firmware), default=Firmware.UEFI)
    parser.add_argument(
        "--name", default="simulated", help="MACs, serials and UUIDs follow from it"
    )
    parser.add_argument("--image", type=Path, help="leave the image to install in this folder")
    parser.add_argument(
        "--dhcp", type=_server, default=("127.64.0.1", 67), help="server that the relay asks"
    )
    parser.add_argument(
        "--tftp-port", type=int, default=69, help="DHCP tells a server's address, never its port"
    )
    parser.add_argument("--relay", default="127.64.0.2", help="the relay's own address")
    parser.add_argument(
        "--bmc-port", type=int, default=0, help="of every BMC; default: last time's"
    )
    parser.add_argument("--order", type=Order, choices=list(Order), help="what boots unless told")
    parser.add_argument("--speed", type=float, help="divides the machines' own times")
    parser.add_argument("--chunks", type=int, help="of the image, verified by each; -1: all")
    parser.add_argument("--progress", type=int, help="reports while an image is written")
    parser.add_argument("--whole", action="store_true", default=None, help="fetch kernels whole")
    for name in _TIMES:
        described = f"seconds; default {getattr(Pace(), name)}"
        parser.add_argument(f"--{name}", type=float, help=described)
