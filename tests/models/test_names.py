from ipaddress import IPv4Address, IPv4Network

import pytest

from models import ipam, names
from models.errors import Invalid

NET = IPv4Network("10.0.0.0/24")
A = IPv4Address


@pytest.mark.parametrize(
    "text", ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "5254.00ab.cd01", " 525400abcd01 "]
)
def test_a_mac_is_read_in_every_usual_form(text):
    assert names.mac(text, field="/m") == "52:54:00:ab:cd:01"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.mac, "52:54:00:12:34"),
        (names.mac, "zz:54:00:12:34:56"),
        (names.mac, "01:00:5e:00:00:01"),
        (names.mac, ""),
        (names.hostname, "-a"),
        (names.hostname, "a_b"),
        (names.hostname, "a..b"),
        (names.hostname, "x" * 64),
        (names.hostname, "a\nb"),
        (names.slug, "Ams"),
        (names.slug, "a.b"),
        (names.ref, "a/b"),
        (names.network, "10.0.0.1/24"),
        (names.network, "10.0.0.0/33"),
        (names.address, "10.0.0.256"),
        (names.path, "../etc/passwd"),
        (names.path, "/abs"),
        (names.path, "a//b"),
        (names.path, "a b"),
        (names.path, ""),
    ],
)
def test_what_is_malformed_is_refused_with_its_field_and_what_to_do(check, text):
    with pytest.raises(Invalid) as caught:
        check(text, field="/there")

    assert caught.value.field == "/there"
    assert caught.value.hint


def test_a_host_name_is_kept_in_lower_case():
    assert names.hostname("Node-01", field="/h") == "node-01"


@pytest.mark.parametrize(
    ("start", "end", "gateway", "field"),
    [
        ("10.0.1.1", "10.0.0.9", None, "/rangeStart"),
        ("10.0.0.1", "10.0.1.9", None, "/rangeEnd"),
        ("10.0.0.0", "10.0.0.9", None, "/rangeStart"),
        ("10.0.0.1", "10.0.0.255", None, "/rangeEnd"),
        ("10.0.0.9", "10.0.0.1", None, "/rangeEnd"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.5", "/gateway"),
        ("10.0.0.1", "10.0.0.9", "10.9.0.5", "/gateway"),
    ],
)
def test_a_range_that_cannot_be_is_refused_at_its_field(start, end, gateway, field):
    with pytest.raises(Invalid) as caught:
        ipam.check_range(NET, A(start), A(end), None if gateway is None else A(gateway))

    assert caught.value.field == field


@pytest.mark.parametrize("cidr", ["10.77.0.1/32", "10.77.0.0/31"])
def test_a_network_without_host_addresses_is_refused_in_words(cidr):
    net = IPv4Network(cidr)

    with pytest.raises(Invalid, match="has no host addresses") as caught:
        ipam.check_range(net, net[0], net[-1], None)

    assert caught.value.field == "/cidr"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.0.0.0", "is no host address"),
        ("10.0.0.255", "is no host address"),
        ("10.1.0.7", "is no host address"),
        ("127.0.0.1", "is no host address"),
        ("10.0.0.1", "is the gateway"),
        ("10.0.0.201", "lies in the dynamic pool"),
    ],
)
def test_an_address_from_elsewhere_that_no_machine_can_have_is_refused_with_the_cure(address, why):
    with pytest.raises(Invalid, match=why) as caught:
        ipam.demand_usable(
            A(address), NET, gateway=A("10.0.0.1"), pool=(A("10.0.0.200"), A("10.0.0.250"))
        )

    assert caught.value.hint.startswith("At the IPAM: ")
