"""A BMC with many systems: the one that is meant, wherever it stands in the list."""

from itertools import permutations
from uuid import UUID

import pytest

from actors.drivers.errors import NoSuchSystem
from actors.drivers.systems import Identity, choose

UUID_A = "11111111-0000-4000-8000-00000000000a"
NODES = {
    "/redfish/v1/Systems/A": {"UUID": UUID_A, "SerialNumber": "S-A"},
    "/redfish/v1/Systems/B": {"SerialNumber": "S-B"},
    "/redfish/v1/Systems/C": {"Name": "says neither"},
    "/redfish/v1/Systems/HGX_Baseboard_0": {"UUID": "22222222-0000-4000-8000-000000000000"},
}
MACS = {"S-B": {"52:54:00:00:00:0b"}, "says neither": {"52:54:00:00:00:0c", "52:54:00:00:01:0c"}}
ORDERS = [dict(order) for order in permutations(NODES.items())]


def macs_of(system):
    return MACS.get(system.get("SerialNumber", system.get("Name")), set())


def chosen(systems, **identity):
    return choose(systems, Identity.of(identity), macs_of).rpartition("/")[2]


@pytest.mark.parametrize(
    ("identity", "found"),
    [
        ({"uuid": UUID_A.upper()}, "A"),
        ({"uuid": str(UUID(bytes_le=UUID(UUID_A).bytes))}, "A"),
        ({"uuid": "33333333-0000-4000-8000-000000000000", "serial": " s-b "}, "B"),
        ({"serial": "S-A"}, "A"),
        ({"macs": ["52:54:00:00:01:0C"]}, "C"),
        ({"serial": "S-X", "macs": ["52:54:00:00:00:0c"]}, "C"),
    ],
    ids=["uuid", "uuid-of-old-smbios", "serial-where-no-uuid-is-told", "serial", "mac", "mac-left"],
)
def test_the_system_is_the_same_in_every_order_of_the_list(identity, found):
    assert {chosen(order, **identity) for order in ORDERS} == {found}


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"macs": ["52:54:00:99:99:99"]},
        {"macs": ["52:54:00:00:00:0b", "52:54:00:00:00:0c"]},
        {"uuid": "no-uuid", "serial": "", "macs": []},
    ],
    ids=["nothing-known", "a-mac-of-nobody", "macs-of-two", "nothing-that-counts"],
)
def test_what_could_be_several_is_none_in_every_order_of_the_list(identity):
    for order in ORDERS:
        with pytest.raises(NoSuchSystem):
            chosen(order, **identity)


def test_a_machine_that_is_not_there_is_not_the_one_that_says_least():
    told = {path: node for path, node in NODES.items() if "UUID" in node}

    with pytest.raises(NoSuchSystem):
        chosen(told, uuid="33333333-0000-4000-8000-000000000000")


def test_a_bmc_without_systems_has_none():
    with pytest.raises(NoSuchSystem, match="none of the 0"):
        chosen({}, serial="S-A")


def test_a_lone_system_that_has_other_cards_is_another_machine():
    """An address that was mistyped would have a stranger switched off."""
    lone = {"/redfish/v1/Systems/C": NODES["/redfish/v1/Systems/C"]}

    with pytest.raises(NoSuchSystem, match="is this its BMC"):
        chosen(lone, macs=["52:54:00:99:99:99"])


def test_a_lone_system_that_tells_no_cards_or_ours_is_the_machine():
    silent = {"/redfish/v1/Systems/S": {"Name": "no cards"}}
    lone = {"/redfish/v1/Systems/C": NODES["/redfish/v1/Systems/C"]}

    assert chosen(silent, macs=["52:54:00:99:99:99"]) == "S"
    assert chosen(lone, macs=["52:54:00:99:99:99", "52:54:00:00:00:0c"]) == "C"
