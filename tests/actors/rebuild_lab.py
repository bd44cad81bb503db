"""Hosts of Proxmox VE under rebuild: what they call over real HTTP, then a real sshd each."""

import math
import socket

from actors.control import errands as runner
from actors.control import joins
from actors.control.errand import Job, Means
from actors.drivers.deadline import Deadline
from actors.drivers.ssh_keys import Fresh
from config.clusters import Access, Infrastructure
from config.secrets import Secret
from models.commands import errands, outcomes, run_keys
from models.errands import Errand as Name
from tests.models import make
from tests.services import pve
from tests.services.provider import TOKEN

SITE = Fresh.made()
"""What nodes of a cluster let Sprout in by."""

MEMBER = "127.0.0.61"
SECRETS = {
    "PASSWORD": Secret(pve.PASSWORD),
    "T": Secret(TOKEN),
    "KEY": SITE.login("root").private_key,
}


def installed(host, world, *, says=None):
    """Boot *host*, and have it be what its answer says; return the node that it is then.

    It says that its host keys are *says*, or those that it has.
    """
    answer = host.boot()
    keys = answer["global"]["root-ssh-keys"]
    node = world.node("pve1", host.plan.addressing.address, *keys)
    host.host_keys.update(says or node.sshd.keys)
    host.installer.install(answer)
    host.relay()
    host.home()
    return node


def service_of(url):
    return Infrastructure(url=url, token="env:T", server_types={"minisforum-ms-01": "7"})


def clustered(world):
    """A cluster of one node; return how hosts join it."""
    member = world.clustered("node-1", MEMBER, f"{SITE.public} site")
    keys = tuple(member.sshd.keys.values())
    return Access(member=MEMBER, member_keys=keys, password="env:PASSWORD", ssh_key="env:KEY")


class Control:
    """What does errands, where nodes of *world* listen at ports of their own."""

    def __init__(self, world, access=None, service=None):
        self.world = world
        self.doers = {
            **runner.DOERS,
            Name.CLUSTER_JOIN: joins.joiner(run_keys.private, self.dial),
            Name.RUN_KEY_REMOVE: joins.leaver(run_keys.private, self.dial),
        }
        self.means = Means(
            resolvers={"env": SECRETS.__getitem__},
            cluster=access or Access(name="lab", password="env:PASSWORD"),
            infrastructure=None if service is None else service_of(service.url),
        )

    def dial(self, address, _port, seconds):
        [port] = {n.sshd.port for n in self.world.nodes.values() if n.sshd.address == address}
        return socket.create_connection((address, port), timeout=seconds)

    def take(self):
        """Take what waits."""
        return errands.take(self.doers)

    def do(self):
        """Do what waits; return its name and how it ended."""
        held = self.take()
        job = Job(held, Deadline.after(300), math.inf)
        ended = runner.Runner(self.means, self.doers)._done(job)
        outcomes.settle(held, ended, make.render)
        return held.name, ended.done
