"""A network as a site knows it: what crosses the queue is what was said."""

import json
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest

from models.bootnet import BootNetwork, Mode, Route

FULL = BootNetwork(
    network=UUID("018f6f41-2b3c-7d4e-8f50-6172839405a6"),
    name="rack",
    cidr=IPv4Network("10.77.0.0/24"),
    mode=Mode.FULL,
    gateway=IPv4Address("10.77.0.1"),
    dns=(IPv4Address("10.77.0.2"),),
    ntp=(IPv4Address("10.77.0.3"), IPv4Address("10.77.0.4")),
    domain="lab.example.org",
    search=("lab.example.org", "example.org"),
    mtu=1400,
    routes=(Route(IPv4Network("10.0.0.0/8"), IPv4Address("10.77.0.254")),),
    lease_s=600,
    pool_first=IPv4Address("10.77.0.100"),
    pool_last=IPv4Address("10.77.0.199"),
    strangers_boot=True,
    answer_rs=True,
    loaders=(("uefi-arm64", "ipxe-arm64.efi"), ("uefi-x64", "shimx64.efi")),
)


def test_a_network_crosses_the_queue_as_it_is():
    assert BootNetwork.decode(json.loads(json.dumps(FULL.encode()))) == FULL


def test_a_network_of_an_older_control_has_defaults_and_one_of_a_newer_is_read():
    body = {"network": str(FULL.network), "name": "rack", "cidr": "10.77.0.0/24", "new": 1}

    assert BootNetwork.decode(body).mode is Mode.RESERVED


@pytest.mark.parametrize(
    "bent",
    [
        {"cidr": "10.77.0.1/24"},
        {"mode": "loud"},
        {"routes": [["10.0.0.0/8"]]},
        {"dns": [7.5]},
        {"loaders": ["shimx64.efi"]},
    ],
)
def test_what_is_no_network_is_refused(bent):
    with pytest.raises((ValueError, KeyError, TypeError)):
        BootNetwork.decode(FULL.encode() | bent)


@pytest.mark.parametrize(
    ("address", "held"),
    [("10.77.0.99", False), ("10.77.0.100", True), ("10.77.0.199", True), ("10.77.0.200", False)],
)
def test_the_pool_has_both_its_ends(address, held):
    assert FULL.holds(IPv4Address(address)) is held
