"""What networks tell their clients: scapy's layers and our codec, byte for byte."""

import os
import sys
from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest

from models.bootnet import Route
from pxe_stack import dhcp_coder, dhcp_told, wire
from pxe_stack.dhcp_coder import Coder
from pxe_stack.dhcp_told import Constants
from tests.pxe_stack.nets import far, network

CASES = int(os.environ.get("DHCP_PACKETS", "5000")) // 10


def some(rng):
    def address():
        return IPv4Address(rng.getrandbits(32))

    def names():
        return [".".join(rng.choice(["a", "rack", "x" * 63]) for _ in range(3)) for _ in range(3)]

    length = rng.randrange(8, 31)
    return network(
        cidr=IPv4Network((rng.getrandbits(32), length), strict=False),
        gateway=rng.choice([None, address()]),
        dns=tuple(address() for _ in range(rng.randrange(4))),
        ntp=tuple(address() for _ in range(rng.randrange(3))),
        domain=rng.choice(["", "rack.test"]),
        search=tuple(names()[: rng.randrange(2)]),
        mtu=rng.choice([None, 1500, 9000]),
        routes=tuple(
            Route(IPv4Network((rng.getrandbits(32), rng.randrange(33)), strict=False), address())
            for _ in range(rng.randrange(4))
        ),
    )


def test_our_codec_and_scapys_layers_agree_on_what_networks_tell():
    rng = Random(3442)
    for _ in range(CASES):
        net = some(rng)
        assert Constants(dict(wire.told(net))) == Constants.of(dhcp_told.of_network(net)), net


def test_a_child_codes_the_networks_and_the_server_never_sees_scapy():
    nets = (network(), far(mtu=9000))
    coded = Coder(nets).finish()

    assert coded == {dhcp_told.of_network(n): Constants.of(dhcp_told.of_network(n)) for n in nets}


def test_a_child_that_fails_leaves_the_server_with_its_own_codec(monkeypatch):
    monkeypatch.setattr(dhcp_coder, "_COMMAND", (sys.executable, "-c", "import sys; sys.exit(1)"))

    assert Coder((network(),)).finish() == {}


@pytest.mark.parametrize("many", [1])
def test_a_child_can_be_left_when_there_is_newer_work(many):
    coder = Coder((network(),))
    coder.abandon()

    assert coder._child.returncode is not None
