"""Hosts of a site that can install Proxmox VE on them, led by what is seen of them."""

from models import queries
from models.commands import errands, hosts, outcomes, walks
from models.errands import Ended
from models.observations import Seen
from models.phases import Phase
from tests.models import make

TYPES = """
minisforum-ms-01:
  display_name: Minisforum MS-01
  boot_disk: /dev/nvme0n1
  management_nic: enp2s0
minisforum-um790:
  display_name: Minisforum UM790 Pro
  boot_disk: /dev/nvme1n1
  management_nic: enp1s0
  wake_on_lan: true
"""
PVE = {
    "name": "Proxmox VE 9.1",
    "installer": "proxmox",
    "image_path": "",
    "iso_path": "proxmox.iso",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "proxmox.iso": "2" * 64},
    "image_bytes": 1 << 30,
}
HASH = "$6$of-the-settings$hash"
DONE = Ended(done=True)
SEEN = (
    (Phase.PXE_READY, Seen.PLAN_SERVED, {}),
    (Phase.PXE_BOOTED, Seen.SCRIPT_SERVED, {"bytes": 812}),
    (Phase.INSTALLING, Seen.ANSWER_SERVED, {"bytes": 1604}),
    (Phase.INSTALLED, Seen.INSTALLED, {"installer": "proxmox"}),
    (Phase.FIRST_BOOT, Seen.PHONED_HOME, {"address": "10.77.0.10", "hardware_id": "4C4C4544"}),
)
"""What brings a host to each state, in their order."""


def types(folder):
    """Write the file of server types, and return where it is."""
    path = folder / "server-types.yaml"
    path.write_text(TYPES)
    return path


class Racked:
    """A site with a network, an agent and an image of Proxmox VE."""

    def __init__(self, site=None, agent=None):
        self.site = make.site("home") if site is None else site
        if agent is None:
            make.network(self.site)
        self.agent = make.Agent(self.site, ("http", "wake-on-lan")) if agent is None else agent
        self.image = make.image("proxmox-9.1", **PVE)

    def host(self, name, mac, kind="minisforum-ms-01"):
        new = hosts.NewHost(site_id=self.site, hostname=name, mac=mac, server_type=kind)
        return hosts.create(make.ADMIN, new)

    def rebuild(self, host, reason=""):
        """Ask for it as the page does, and have control take it up."""
        chosen = hosts.choice(make.ADMIN, queries.machine(host))
        flow = hosts.rebuild(make.ADMIN, queries.machine(host), chosen, reason=reason)
        walks.advance(flow, make.render)
        return flow

    def bring(self, host, to):
        """Have everything seen of *host* that brings it to the state *to*."""
        flow = queries.machine(host).workflow
        for state, kind, data in SEEN:
            self.agent.report(kind, host, run=queries.machine(host).run_id, data=data)
            if state is Phase.PXE_READY and "woken" in [step.name for step in flow.steps]:
                self.agent.finish(flow.id)
            if state is to:
                return


def run_errand(name, ended=DONE):
    """Have control do the errand *name* that waits."""
    outcomes.settle(errands.take({name: None}), ended, make.render)
