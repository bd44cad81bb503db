import pytest

from models import differences, facts
from models.errors import NotReady

BMC = {"system": {"uuid": "30373237-3132-4d32-3230-333530345030", "serial": "CHASSIS-1"}}
IMAGE = {"system": {"uuid": "11111111-2222-3333-4444-555555555555", "serial": "NODE-7"}}
ONE = {"serial": "S1", "wwn": "W1", "bytes": 1 << 40}
TWO = {"serial": "S2", "wwn": "W2", "bytes": 2 << 40}


def test_the_only_disk_is_the_root_disk_by_its_serial_alone():
    # A BMC and a kernel spell the WWN of an NVMe disk differently.
    assert facts.root_disk(None, {"disks": [ONE]}) == {"serial": "S1", "wwn": "", "min_bytes": 0}


def test_a_disk_without_a_serial_is_named_by_its_wwn():
    assert facts.root_disk(None, {"disks": [dict(ONE, serial="")]})["wwn"] == "W1"


@pytest.mark.parametrize("chosen", [{"serial": "s2"}, {"wwn": "W2"}, {"serial": "S2", "wwn": "W2"}])
def test_a_disk_is_chosen_by_what_it_is(chosen):
    found = facts.root_disk(chosen, {"disks": [ONE, TWO]})

    assert {name: value for name, value in found.items() if value} == chosen


@pytest.mark.parametrize(
    ("chosen", "disks"),
    [
        (None, []),
        (None, [ONE, TWO]),
        ({"serial": "S9"}, [ONE, TWO]),
        ({"serial": "S1", "wwn": "W2"}, [ONE, TWO]),
        ({"serial": "S1"}, [ONE, dict(ONE, wwn="W9")]),
    ],
)
def test_anything_but_exactly_one_disk_is_refused(chosen, disks):
    with pytest.raises(NotReady) as caught:
        facts.root_disk(chosen, {"disks": disks})

    assert caught.value.field == "/rootDisk"


def test_a_choice_stands_while_no_inventory_was_taken():
    assert facts.root_disk({"serial": "S1", "minBytes": 5}, {}) == {
        "serial": "S1",
        "wwn": "",
        "min_bytes": 5,
    }


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (BMC, BMC["system"]),
        (differences.merged(BMC, IMAGE), BMC["system"]),
        (differences.merged({}, IMAGE), IMAGE["system"]),
        ({"seen": {"image": IMAGE}}, {"uuid": "", "serial": ""}),
        ({}, {"uuid": "", "serial": ""}),
    ],
    ids=["bmc", "both", "image", "no-system", "nothing"],
)
def test_a_machine_is_known_to_its_bmc_by_what_that_calls_it(found, known):
    """What differs between the two is shown, and must not cut the machine off from its BMC."""
    assert facts.identity(found) == known
