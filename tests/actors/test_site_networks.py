"""What an agent does with the networks that it is told of."""

from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from actors.site import networks
from actors.site.networks import Told
from models.bootnet import BootNetwork, Mode
from models.errors import Invalid
from pxe_stack.store import PLANS, PlanStore, Range

NET = BootNetwork(network=UUID(int=1), name="prov", cidr=IPv4Network("10.77.0.0/24"))
SLICE = Range(NET.network, IPv4Address("10.77.0.100"), IPv4Address("10.77.0.149"))
SLICE_BODY = {"network": str(NET.network), "first": "10.77.0.100", "last": "10.77.0.149"}


@pytest.fixture
def plans(tmp_path):
    store = PlanStore(tmp_path / PLANS)
    yield store
    store.close()


def body(version=1, *nets, **more):
    return {"networks_version": version, "networks": [n.encode() for n in nets], **more}


def keep(plans, message, services=frozenset({"dhcp", "http"})):
    networks.keep(Told.of(message), plans, services)


def test_a_message_without_networks_tells_nothing_of_them():
    assert Told.of({"plans": [], "snapshot": True}) is None


def test_networks_and_ranges_are_kept(plans):
    keep(plans, body(7, NET, ranges=[SLICE_BODY]))

    assert (plans.networks(), plans.ranges(), plans.networks_version()) == ((NET,), (SLICE,), 7)


def test_what_was_overtaken_on_its_way_changes_nothing(plans):
    keep(plans, body(7, NET, ranges=[SLICE_BODY]))

    keep(plans, body(6))

    assert (plans.networks(), plans.ranges()) == ((NET,), (SLICE,))


BAD = {
    "no list": {"networks": 7},
    "no network": {"networks": [{}]},
    "unknown mode": {"networks": [NET.encode() | {"mode": "wild"}]},
    "odd range": {"networks": [], "ranges": [{"first": "x"}]},
    "odd version": {"networks": [], "networks_version": "soon"},
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD)
def test_what_is_malformed_is_refused_whole(message):
    with pytest.raises(Invalid):
        Told.of(message)


@pytest.mark.parametrize(
    ("mode", "services", "said"),
    [
        (Mode.RESERVED, {"http"}, 1),
        (Mode.RESERVED, {"http", "dhcp"}, 0),
        (Mode.OFF, {"http"}, 0),
    ],
)
def test_a_site_without_dhcp_says_so_when_a_network_wants_it(plans, mode, services, said):
    net = BootNetwork(network=NET.network, name="prov", cidr=NET.cidr, mode=mode)

    with capture_logs() as lines:
        keep(plans, body(1, net), frozenset(services))

    off = [line for line in lines if line["event"] == "dhcp.off"]
    assert len(off) == said
    assert all("SPROUT_DHCP_BIND_INTERFACE" in line["remedy"] for line in off)
