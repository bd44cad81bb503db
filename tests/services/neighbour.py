"""Another machine on a rack's bridge: a network namespace with one interface."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from deploy.rack import bridge, netns
from tests.pxe_stack.lab import PREFIX

INTERFACE = "d1"

_numbers = count()


@contextmanager
def space(kind: str) -> Iterator[str]:
    """A namespace for the block, which goes with the leftovers where a run is killed."""
    name = f"{PREFIX}-{os.getpid()}-{kind}{next(_numbers)}"
    netns.create(name)
    try:
        netns.ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        netns.delete(name)


@contextmanager
def neighbour(rack: str, address: str) -> Iterator[str]:
    """A namespace whose INTERFACE has *address* (with its prefix) and is on *rack*'s bridge."""
    with space("beside") as name:
        plug = f"beside{next(_numbers)}"
        netns.ip("link", "add", plug, "netns", rack, "type", "veth", "peer", INTERFACE,
                 "netns", name)  # fmt: skip
        netns.ip("-n", rack, "link", "set", plug, "master", bridge.NAME, "up")
        netns.ip("-n", name, "addr", "add", address, "dev", INTERFACE)
        netns.ip("-n", name, "link", "set", INTERFACE, "up")
        yield name
