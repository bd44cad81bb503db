"""Kea's reservations, as the whole configuration that is read, changed and set."""

from copy import deepcopy

import pytest

from actors.drivers import kea
from actors.drivers.deadline import Deadline
from actors.drivers.providers import Errand, Peer

NETS = ("10.77.0.0/24", "10.78.0.0/24")
PEER = Peer(name="kea", url="http://kea.example")
ERRAND = Errand(key="k", request_id="r-1", deadline=Deadline.after(60))


@pytest.fixture
def config(monkeypatch):
    """What Kea is set to."""
    held = {"Dhcp4": {"subnet4": [{"subnet": net} for net in NETS]}}

    def command(_peer, _errand, name, arguments=None):
        if name == "config-set":
            held.update(deepcopy(arguments))
        return {"arguments": deepcopy(held)}

    monkeypatch.setattr(kea, "_command", command)
    return held


def item(net=NETS[0], address="10.77.0.5", mac="52:54:00:00:00:01", holding="h-1"):
    told = {"mac": mac, "address": address, "hostname": "node-01.x", "network": net}
    return told | {"holding": holding}


def reserved(config):
    subnets = config["Dhcp4"]["subnet4"]
    return [[each["ip-address"] for each in net.get("reservations", ())] for net in subnets]


def test_a_machine_that_moves_to_another_network_leaves_nothing_in_the_first(config):
    kea.reserve(PEER, ERRAND, item())

    kea.reserve(PEER, ERRAND, item(NETS[1], "10.78.0.5"))
    assert reserved(config) == [[], ["10.78.0.5"]]

    other = item(mac="52:54:00:00:00:02", holding="h-2")
    kea.reserve(PEER, ERRAND, other)
    assert reserved(config) == [["10.77.0.5"], ["10.78.0.5"]]
