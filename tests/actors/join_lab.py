"""A cluster of one node, and a host that is to join it, for tests of joins."""

import socket
import threading

import pytest

from actors.drivers import join, ssh
from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotLetIn, Refused
from actors.drivers.join import Plan, Way
from actors.drivers.ssh_keys import Fresh
from config.secrets import Secret
from models import joining
from tests.services import pve

SITE = Fresh.made()
"""What the site logs in to members by."""

MEMBER, HOST = "127.0.0.61", "127.0.0.62"


def loopback(address, port, seconds):
    return socket.create_connection((address, port), timeout=seconds)


class Lab:
    """A cluster of one node, a host that is to join it, and the key of the host's run."""

    def __init__(self, world, *, linked=True):
        self.world, self.run, self.told = world, Fresh.made(), []
        self.member = world.clustered("node-1", MEMBER, f"{SITE.public} site")
        self.host = world.node("node-2", HOST, f"{self.run.public} run", linked=linked)

    def pause(self, seconds):
        threading.Event().wait(seconds)

    def plan(self, **more):
        return Plan(
            **{
                "want": joining.wanted("node-2", member=MEMBER),
                "host": Way(host=self.host.host, login=self.run.login("root")),
                "member": Way(host=self.member.host, login=SITE.login("root")),
                "key": self.run.public,
                "password": Secret(pve.PASSWORD),
                "pause": self.pause,
                "tell": self.told.append,
            }
            | more
        )

    def join(self, **more):
        return join.join(self.plan(**more), loopback, Deadline.after(300))

    def refused(self, **more):
        """Try; return the reason."""
        with pytest.raises(Refused) as caught:
            self.join(**more)
        return str(caught.value)

    def joined(self):
        return "node-2" in self.world.cluster()["nodes"]


def lets_in(node, key):
    way = key.login("root")
    try:
        with ssh.session(node.host, way, loopback, Deadline.after(60)):
            return True
    except NotLetIn:
        return False


@pytest.fixture(scope="module")
def pve_nodes(tmp_path_factory):
    """Nodes that are kept for a file of tests."""
    with pve.world(tmp_path_factory.mktemp("pve") / "world") as made:
        yield made


@pytest.fixture
def pve_world(pve_nodes):
    pve_nodes.forget()
    return pve_nodes


@pytest.fixture
def pve_lab(pve_world):
    return Lab(pve_world)
