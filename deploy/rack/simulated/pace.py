"""How long things take on simulated machines, and how much of the work they do for real."""

import asyncio
import random
from dataclasses import dataclass
from enum import StrEnum


class Order(StrEnum):
    """What a machine tries first when its BMC overrides nothing."""

    NETWORK = "network"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds; those of the machine itself are divided by *speed*.

    Waits for a server's answer are the firmware's own and no faster at a higher speed.
    """

    speed: float = 1.0
    button: float = 0.05
    """From the power button to power."""
    post: float = 0.2
    """The firmware's self-test."""
    kernel: float = 0.2
    """From a started kernel to its first packet."""
    install: float = 0.5
    """To write the whole image."""
    start: float = 0.3
    """From the disk's boot loader to the network of the installed system."""
    stop: float = 0.2
    """An orderly shutdown."""
    grace: float = 30.0
    """How long a BMC waits for who does not listen to the power button."""
    patience: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """How long each try waits for an answer (RFC 2131 §4.1, PXE 2.1 §2.2.1.2)."""
    again: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """Pauses between attempts to boot; the last one is repeated for ever."""
    retry: float = 1.0
    """First pause of what runs on the machine before it asks again; it grows to 15 times that."""
    order: Order = Order.NETWORK
    chunks: int = 1
    """Chunks of the image that are fetched and verified, from its end; -1 is all of them."""
    progress: int = 2
    """Reports while an image is written."""
    whole: bool = False
    """Whether kernel and initramfs are fetched to the end, not a first piece of each."""

    async def pass_(self, seconds: float) -> None:
        """Let *seconds* of the machine's own time pass, a tenth more or less."""
        await asyncio.sleep(seconds / self.speed * random.uniform(0.9, 1.1))  # noqa: S311 - a delay
