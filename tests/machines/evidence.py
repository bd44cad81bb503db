"""What a failed boot leaves in the test's folder, and the ends of it on the screen."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.rack import bridge, netns
from deploy.rack.rack import Rack
from tests.pxe_stack.lab import Boot, until
from tests.services import process

CAPTURE = "wire.pcap"
_LINES = 60
_HEADER = 24
"""Bytes of a capture that holds nothing yet."""


def say(text: str) -> None:
    """Print a figure; pytest shows it with -s, and where a test failed."""
    print(text)  # noqa: T201


@contextmanager
def captured(namespace: str, folder: Path) -> Iterator[None]:
    """Write down what passes the rack's bridge, without the bulk of downloads."""
    capture = folder / CAPTURE
    filtered = "udp or arp or icmp or icmp6 or (tcp and less 400)"
    words = ["tcpdump", "-Z", "root", "-U", "-n", "-s", "600", "-i", bridge.NAME, "-w", capture]
    command = netns.command(namespace, *map(str, words), filtered)
    child = process.launch(command, folder / "tcpdump.log")
    try:
        until(lambda: capture.exists() and capture.stat().st_size >= _HEADER)
        yield
    finally:
        process.stop(child)


@contextmanager
def shown(rack: Rack, boot: Boot, folder: Path) -> Iterator[None]:
    """Print the ends of serial logs, capture, journal and logs when the block fails."""
    try:
        yield
    except BaseException:
        for title, text in _all(rack, boot, folder):
            say(f"--- {title}\n" + "\n".join(text.splitlines()[-_LINES:]))
        raise


def _all(rack: Rack, boot: Boot, folder: Path) -> Iterator[tuple[str, str]]:
    for machine in rack.machines:
        yield str(machine.serial.path), machine.serial.read()
    for log in sorted((*folder.glob("*.log"), *boot.folder.glob("*.log"))):
        yield str(log), log.read_text(errors="replace")
    yield str(folder / CAPTURE), _decoded(folder / CAPTURE)
    journal = boot.stores.journal.pending(0, 100_000)
    yield "journal", "\n".join(str(seen.encode()) for _, seen in journal)


def _decoded(capture: Path) -> str:
    words = ["tcpdump", "-n", "-tttt", "-v", "-r", str(capture)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
