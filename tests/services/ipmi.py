"""A real IPMI 2.0 BMC, openipmi's simulator, with a switch that a test can see and jam."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import free_ports, launch, stop, wait_until_ready

USER, PASSWORD = "admin", "hunter22-ipmi"

_LAN = """\
name "rack"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{hook} 0x20"
  user 1 false "" "" user 10 none
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
_MC = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""
_HELLO = bytes.fromhex("0600ff07 000000000000000000 09 2018c88100388e04b5")
"""Get Channel Authentication Capabilities, in a session of nobody (IPMI 2.0 §22.13)."""

_HOOK = """\
#!/bin/sh
# HOOK MC get WHAT... | HOOK MC set WHAT VALUE...: files beside this script are the machine.
cd "$(dirname "$0")"
verb=$2
shift 2
while [ $# -gt 0 ]; do
  if [ "$verb" = get ]; then
    echo "$1:$(cat "$1")"
    shift
  else
    echo "$1 $2" >>orders
    [ "$1" = shutdown ] && [ ! -e deaf ] && echo 0 >power
    [ "$1" = shutdown ] || [ -e jammed ] || echo "$2" >"$1"
    shift 2
  fi
done
"""


@dataclass(frozen=True)
class Simulated:
    """One BMC: its machine is files of *folder*."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"ipmi://127.0.0.1:{self.port}"

    @property
    def power(self) -> str:
        return self._text("power")

    @property
    def boot(self) -> str:
        return self._text("boot")

    @property
    def orders(self) -> list[str]:
        """What was set, in order."""
        return self._text("orders").splitlines()

    def put(self, name: str, value: str = "") -> None:
        """Write a file of the machine: power, boot, or deaf (to a soft power-off), or jammed."""
        (self.folder / name).write_text(value, encoding="ascii")

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="ascii").strip()


@contextmanager
def running(folder: Path) -> Iterator[Simulated]:
    """Run a BMC whose machine is off."""
    bmc = Simulated(folder, free_ports(1)[0])
    for name, value in {"power": "0", "boot": "none", "orders": ""}.items():
        bmc.put(name, value)
    hook = folder / "hook"
    hook.write_text(_HOOK, encoding="ascii")
    hook.chmod(0o755)
    lan = _LAN.format(port=bmc.port, hook=hook, user=USER, password=PASSWORD)
    (folder / "lan.conf").write_text(lan, encoding="ascii")
    (folder / "mc.emu").write_text(_MC, encoding="ascii")
    command = ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "mc.emu", "-s", str(folder / "state")]
    log = folder / "sim.log"
    process = launch(command, log, cwd=folder)
    try:
        wait_until_ready(process, lambda: _asked(bmc.port), log, seconds=60)
        yield bmc
    finally:
        stop(process)


def _asked(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(1)
        line.sendto(_HELLO, ("127.0.0.1", port))
        return line.recv(512)
