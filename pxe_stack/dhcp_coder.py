"""Has scapy code what each network tells its clients: in a child, which takes its memory with it.

python -m pxe_stack.dhcp_coder: networks as JSON on standard input, their options on the output.
The serving process never imports scapy, and answers by its own codec until the child has ended.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from models.bootnet import BootNetwork
from pxe_stack import dhcp_told
from pxe_stack.dhcp_told import Constants, Told

log = structlog.get_logger()

_COMMAND: Final = (sys.executable, "-m", "pxe_stack.dhcp_coder")

_IDLE: Final = 19


class Coder:
    """One child that codes *networks*; *output* becomes readable when it has, or has failed."""

    def __init__(self, networks: Iterable[BootNetwork]) -> None:
        self._networks = tuple(networks)
        self._child = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        os.setpriority(os.PRIO_PROCESS, self._child.pid, _IDLE)  # clients wait meanwhile
        assert self._child.stdin is not None  # noqa: S101 - it was asked for
        assert self._child.stdout is not None  # noqa: S101 - it was asked for
        self.output = self._child.stdout
        with suppress(BrokenPipeError), self._child.stdin as told:  # finish finds it dead
            told.write(json.dumps([each.encode() for each in self._networks]).encode())

    def finish(self) -> Mapping[Told, Constants]:
        """Return what was coded, nothing where that failed; the child has ended then."""
        with self.output:
            said = self.output.read()
        if self._child.wait() != 0:
            log.warning("dhcp.coded-alone", networks=len(self._networks))
            return {}
        found = {}
        for network, options in zip(self._networks, json.loads(said), strict=True):
            told = dhcp_told.of_network(network)
            found[told] = Constants({int(code): bytes.fromhex(data) for code, data in options})
            if found[told] != Constants.of(told):
                log.warning("dhcp.coded-otherwise", network=network.name)
        return found

    def abandon(self) -> None:
        """End the child: there is newer work."""
        self._child.kill()
        self.output.close()
        self._child.wait()


def main() -> None:
    """Answer the parent."""
    networks = [BootNetwork.decode(body) for body in json.load(sys.stdin)]
    from pxe_stack import wire  # noqa: PLC0415 - here alone, in the child, and when it is needed

    coded = [[(code, data.hex()) for code, data in wire.told(each)] for each in networks]
    json.dump(coded, sys.stdout)


if __name__ == "__main__":
    main()
