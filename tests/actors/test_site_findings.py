import json

import pytest

from actors.site.findings import MOST, condensed, divided

DISK = {"serial": "S" * 20, "wwn": None, "bytes": 10**12}


def test_a_small_result_goes_as_it_is():
    assert divided("power-on", {"power": "on"}) == ({"power": "on"}, {})


def test_the_record_of_a_result_always_goes_apart():
    small, apart = divided("redfish-inventory", {"disks": [], "record": {"system": {"Id": "1"}}})

    assert small == {"disks": []}
    assert json.loads(apart["redfish-inventory-record.json"]) == {"system": {"Id": "1"}}


def test_what_fits_no_message_goes_apart_whole_and_its_report_keeps_the_form():
    result = {"disks": [DISK] * 5000, "power": "on", "system": {"serial": "x" * MOST}}

    small, apart = divided("redfish-inventory", result)

    assert json.loads(apart["redfish-inventory-result.json"]) == result
    assert len(json.dumps(small)) <= MOST
    assert (small["disks"][0], small["power"]) == (DISK, "on")
    assert small["system"]["serial"].startswith("xxx")


@pytest.mark.parametrize(
    "value",
    [
        {"a": "\u0000" * MOST},
        {"k" * MOST: 1},
        {str(n): "x" for n in range(MOST)},
        {"a": [["\u2028" * 500] * 500] * 500},
    ],
    ids=["controls", "key", "keys", "nested"],
)
def test_whatever_a_peer_makes_up_is_cut_to_what_fits(value):
    assert len(json.dumps(condensed(value))) <= MOST
