from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from actors.site.place import Unplaced, demand, demand_for, place
from models.bootnet import Mode
from tests.pxe_stack.nets import network

UNSET = {
    "netns": "",
    "dhcp_interface": "",
    "dhcp_address": "",
    "tftp_address": "",
    "boot_address": "0.0.0.0",
    "boot_port": 8081,
    "boot_url": "",
}


def test_the_boot_url_is_made_of_the_address_that_dhcp_answers_from():
    found = place(**UNSET | {"dhcp_interface": "br0", "dhcp_address": "10.0.0.1"})

    assert found.boot_url == "http://10.0.0.1:8081"
    assert found.services == {"dhcp", "router", "tftp", "files", "http"}


def test_an_advertised_url_wins():
    found = place(**UNSET | {"boot_url": "http://boot.example"})

    assert found.boot_url == "http://boot.example"
    assert found.services == {"files", "http"}


def test_an_interface_alone_is_asked_for_its_address():
    assert place(**UNSET | {"dhcp_interface": "lo"}).dhcp_address == "127.0.0.1"


def test_a_dhcp_address_without_an_interface_starts_no_dhcp():
    found = place(**UNSET | {"dhcp_address": "10.0.0.1", "boot_url": "http://b"})

    assert found.dhcp_address is None
    assert "dhcp" not in found.services


@pytest.mark.parametrize("interface", ["", "nosuch0"])
def test_a_site_that_machines_cannot_reach_is_refused_with_the_variable_to_set(interface):
    with pytest.raises(Unplaced, match="SPROUT_"):
        place(**UNSET | {"dhcp_interface": interface})


def test_dns_runs_where_it_has_an_address():
    found = place(**UNSET | {"boot_url": "http://b", "dns_address": "10.0.0.1"})

    assert found.services == {"http", "files", "dns"}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("dns_provider", "SPROUT_DNS_BIND_ADDR"),
        ("dns_forward", "SPROUT_DNS_BIND_ADDR"),
        ("dhcp_provider", "SPROUT_DHCP_BIND_INTERFACE"),
        ("dhcp_bind_addr", "SPROUT_DHCP_BIND_INTERFACE"),
    ],
)
def test_a_service_that_was_asked_for_is_refused_without_its_address(written, wanted):
    with pytest.raises(Unplaced, match=wanted):
        demand({written}, {"dns_bind_addr": None, "dhcp_bind_interface": ""})

    demand({written}, {"dns_bind_addr": "10.0.0.1", "dhcp_bind_interface": "br0"})
    demand(set(), {})


@pytest.mark.parametrize(
    ("written", "switch"), [("dhcp_bind_addr", "dhcp_provider"), ("dns_provider", "dns_provider")]
)
def test_a_service_that_is_off_needs_nothing(written, switch):
    demand({written, switch}, {switch: "off"})


HERE = place(**UNSET | {"boot_address": "10.77.0.1"})


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.PROXY])
def test_a_network_that_is_to_be_answered_wants_an_interface(mode):
    with pytest.raises(Unplaced, match=r"SPROUT_DHCP_BIND_INTERFACE.*network lab has DHCP mode"):
        demand_for([network(mode, name="lab")], HERE)

    demand_for([network(mode, dns=())], replace(HERE, off=frozenset({"dhcp"})))
    demand_for([network(mode, dns=())], replace(HERE, dhcp_address="10.77.0.1"))


@pytest.mark.parametrize("mode", [Mode.RESERVED, Mode.OFF])
def test_a_network_that_nobody_asked_dhcp_for_wants_none(mode):
    demand_for([network(mode, dns=())], HERE)


def test_a_network_whose_machines_ask_the_site_for_names_wants_dns():
    asks = network(Mode.OFF, name="lab", dns=(IPv4Address("10.77.0.1"),))

    with pytest.raises(Unplaced, match=r"SPROUT_DNS_BIND_ADDR.*network lab"):
        demand_for([asks], HERE)

    demand_for([asks], replace(HERE, dns_address="10.77.0.1"))
    demand_for([asks], replace(HERE, off=frozenset({"dns"})))
    demand_for([network(Mode.OFF, dns=(IPv4Address("9.9.9.9"),))], HERE)


def test_a_service_that_is_off_leaves_its_interface_to_the_others():
    given = {"dhcp_interface": "br0", "dhcp_address": "10.0.0.1", "dns_address": "10.0.0.1"}
    found = place(**UNSET | given, off=frozenset({"dhcp", "dns"}))

    assert found.services == {"router", "tftp", "files", "http"}
    assert found.boot_url == "http://10.0.0.1:8081"
