import pytest

from actors.drivers.inventory import Documents, facts, macs


def disks(*drives):
    return facts(Documents(system={}, drives=drives))["disks"]


def named(form, name="AB-12", **drive):
    return {"Identifiers": [{"DurableNameFormat": form, "DurableName": name}], **drive}


def test_an_empty_bmc_gives_nothing_and_guesses_nothing():
    found = facts(Documents(system={}))

    assert found["system"]["serial"] is None
    assert (found["memory_mib"], found["disks"], found["nics"]) == (None, [], [])


def test_memory_is_counted_in_mib_also_below_one_gib():
    summary = {"MemorySummary": {"TotalSystemMemoryGiB": 0.75}}

    assert facts(Documents(system=summary))["memory_mib"] == 768


def test_memory_is_the_sum_of_its_modules_where_the_system_does_not_know_it():
    modules = ({"CapacityMiB": 8192}, {"CapacityMiB": 8192}, {"CapacityMiB": None}, {})
    absent = {"CapacityMiB": 4096, "Status": {"State": "Absent"}}
    unknown = {"MemorySummary": {"TotalSystemMemoryGiB": 0}}

    found = facts(Documents(system=unknown, memory=(*modules, absent)))

    assert found["memory_mib"] == 16384


def test_a_durable_name_is_the_disks_wwn():
    [naa, eui] = disks(named("NAA"), named("EUI"))

    assert (naa["wwn"], eui["wwn"]) == ("ab-12", "ab-12")


def test_a_uuid_is_a_wwn_for_nvme_alone():
    [nvme, sata] = disks(named("UUID", Protocol="NVMe"), named("UUID", Protocol="SATA"))

    assert (nvme["wwn"], sata["wwn"]) == ("ab-12", None)


def test_empty_slots_are_no_parts():
    absent = {"Status": {"State": "Absent"}}
    found = facts(Documents(system={}, processors=(absent,), drives=(absent,)))

    assert (found["processors"], found["disks"]) == ([], [])


def test_a_card_without_a_mac_is_left_out_and_macs_have_one_form():
    cards = ({"MACAddress": "AA-BB-CC-00-11-22"}, {"MACAddress": ""}, {"MACAddress": None}, {})

    assert [nic["mac"] for nic in facts(Documents(system={}, interfaces=cards))["nics"]] == [
        "aa:bb:cc:00:11:22"
    ]


def test_the_permanent_mac_wins_and_both_are_known():
    card = {"PermanentMACAddress": "aa:00:00:00:00:01", "MACAddress": "aa:00:00:00:00:02"}
    [nic] = facts(Documents(system={}, interfaces=(card,)))["nics"]

    assert nic["mac"] == "aa:00:00:00:00:01"
    assert macs([card]) == {"aa:00:00:00:00:01", "aa:00:00:00:00:02"}


@pytest.mark.parametrize("said", ["00:00:00:00:00:00", "00-00-00-00-00-00", "N/A", "0", "aa:00"])
def test_what_stands_in_the_place_of_an_address_makes_no_card_another_machines(said):
    cards = [{"PermanentMACAddress": said, "MACAddress": said}]

    assert macs([*cards, {"MACAddress": "AA-00-00-00-00-01"}]) == {"aa:00:00:00:00:01"}
    assert macs(cards) == frozenset()


def test_what_is_not_well_is_named_and_what_is_well_or_absent_is_not():
    def drive(name, state="Enabled", **health):
        return {"Name": name, "Status": {"State": state, **health}}

    told = {"Health": "OK", "HealthRollup": "Critical", "Conditions": [{"Message": "Fan 3 failed"}]}
    drives = (
        drive("Bay 1", Health="OK"),
        drive("Bay 2", Health="Warning"),
        drive("Bay 3", "Absent", Health="Critical"),
        drive("Bay 4"),
    )
    found = facts(Documents(system={"Status": told}, drives=drives))

    assert (found["health"], found["ailing"]) == ("Critical", ["Fan 3 failed", "Bay 2: Warning"])


def test_values_of_the_wrong_kind_are_left_out():
    odd = {"SerialNumber": 7, "UUID": [], "MemorySummary": "lots", "Status": "OK"}
    rare = {"Status": {"Conditions": ["x", {"Message": 3}], "Health": ["OK"]}}
    assert facts(Documents(system=rare))["ailing"] == []
    found = facts(Documents(system=odd, drives=({"CapacityBytes": "big", "Identifiers": 3},)))

    assert (found["system"]["serial"], found["memory_mib"], found["health"]) == (None, None, None)
    assert (found["disks"][0]["bytes"], found["disks"][0]["wwn"]) == (None, None)
