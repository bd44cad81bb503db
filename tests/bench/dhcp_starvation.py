"""Starvation: 100,000 MACs that ask without end, and what real clients notice of it.

The pool is used up first, by whole exchanges; then come the MACs, which get nothing.  A machine
with a plan and a client that had its address before are served meanwhile; the rest is counted.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from pxe_stack import sockets
from tests.bench import dhcp_peers as peers
from tests.bench.dhcp_client import Load, packet
from tests.bench.first_light import say
from tests.pxe_stack.lab import Lab, ip

MACS: Final = 100_000
RATE: Final = 5_000
POOL: Final = 256
QUIET: Final = 9
WITHIN: Final = 2.0
GROWTH_MIB: Final = 32.0
_FIRST_STARVER: Final = 1_000_000


def measure(folder: Path) -> bool:
    """Print the figures; return whether they keep their bounds."""
    say(f"DHCP starvation: {MACS} MACs, {RATE} a second, a pool of {POOL}")
    with peers.wire(folder, 0) as lab, peers.starved(lab, POOL) as peer:
        for relay in peers.RELAYS:
            ip("-n", lab.clients, "addr", "replace", f"{relay}/10", "dev", "c0")
        ip("-n", lab.clients, "link", "add", "link", "c0", "name", "m0", "type", "macvlan")
        ip("-n", lab.clients, "link", "set", "m0", "up")
        quiet = {name: [_took(lab, name) for _ in range(QUIET)] for name in ("c0", "m0")}
        _use_up(lab)
        before = peer.memory_kb() / 1024
        flooded = _among(lab, lambda: _starve(lab))
        grown = peer.memory_kb() / 1024 - before
    good = grown <= GROWTH_MIB
    say(f"  memory: {before:.1f} MiB before, {grown:+.1f} MiB after")
    for name, who in (("c0", "a machine with a plan"), ("m0", "a client with a lease")):
        ratio = median(flooded[name]) / median(quiet[name])
        say(f"  udhcpc of {who}: {median(quiet[name]):.3f} s quiet, {median(flooded[name]):.3f} s")
        say(f"    of {len(flooded[name])} times: ratio {ratio:.2f}, at most {WITHIN}")
        good &= ratio <= WITHIN
    return good


def _took(lab: Lab, interface: str) -> float:
    """Return the seconds that udhcpc takes to its address on *interface*."""
    begun = time.perf_counter()
    udhcpc = ("busybox", "udhcpc", "-i", interface, "-n", "-q", "-f", "-t", "8", "-s", "/bin/true")
    went = lab.run(*udhcpc)
    if went.returncode:
        raise RuntimeError(went.stderr)
    return time.perf_counter() - begun


def _use_up(lab: Lab) -> None:
    load = sockets.made_in(lab.clients, lambda: Load(peers.SERVER, peers.RELAYS[1], MACS))
    load.run(16, 5.0)
    load.close()


def _among(lab: Lab, flood: Callable[[], None]) -> dict[str, list[float]]:
    """Return what the clients took, in turn, while *flood* went on."""
    thread = threading.Thread(target=flood)
    thread.start()
    took: dict[str, list[float]] = {"c0": [], "m0": []}
    while thread.is_alive():
        for name, times in took.items():
            times.append(_took(lab, name))
    thread.join()
    return took


def _starve(lab: Lab) -> None:
    command = ["ip", "netns", "exec", lab.clients, sys.executable, "-m", __spec__.name]
    subprocess.run(command, check=True, cwd=peers.labs.ROOT)


def starve() -> None:
    """Broadcast a DISCOVER of each MAC, RATE a second."""
    sock = sockets.udp("0.0.0.0", 0, interface="c0")
    begun = time.monotonic()
    for number in range(MACS):
        while number > (time.monotonic() - begun) * RATE:
            time.sleep(0.002)
        raw = packet(1, _FIRST_STARVER + number, bytes(4))
        sock.sendto(raw[:10] + b"\x80" + raw[11:], ("255.255.255.255", 67))


if __name__ == "__main__":
    starve()
