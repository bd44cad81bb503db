"""What the Proxmox VE installer sends, as its own sources lay it out, and what strangers send."""

import pytest

from models import installer_calls as calls
from models.errors import Invalid

DMI = {
    "system": {"serial": "SN-7", "sku": "", "uuid": "4C4C4544-0042-3010-8033-B4C04F4D3232"},
    "baseboard": {"asset_tag": "", "serial": "B-1", "name": "X"},
    "chassis": {"serial": "C-1", "sku": "", "asset_tag": ""},
}
ASKED = {
    "$schema": {"version": "1.0"},
    "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
    "iso": {"release": "9.1", "isorelease": "1"},
    "dmi": DMI,
    "network_interfaces": [
        {"link": "enp2s0", "mac": "52:54:00:00:00:01"},
        {"link": "enp3s0", "mac": "52-54-00-00-00-02"},
    ],
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7nFv3wXq"
INSTALLED = {
    "$schema": {"version": "1.2"},
    "debian-version": "13.1",
    "product": {"fullname": "Proxmox VE", "short": "pve", "version": "9.1.1"},
    "dmi": DMI,
    "filesystem": "ext4",
    "fqdn": "PVE1.lab.example",
    "machine-id": "f" * 32,
    "disks": [{"size": 1, "is-bootdisk": True, "udev-properties": {}}],
    "network-interfaces": [
        {"name": "enp3s0", "mac": "52:54:00:00:00:02"},
        {
            "name": "nic0",
            "mac": "52:54:00:00:00:01",
            "address": "10.0.0.7/24",
            "is-management": True,
        },
    ],
    "ssh-public-host-keys": {
        "ecdsa": "none of a key",
        "ed25519": f"{KEY} root@pve1",
        "rsa": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ== root@pve1",
    },
    "reboot-mode": "reboot",
    "token": "run:secret",
}
WRONG = ([], "x", None, 7, True)


def test_who_asks_is_known_by_all_cards_uuid_and_serial():
    caller = calls.asked(ASKED)

    assert caller.macs == ("52:54:00:00:00:01", "52:54:00:00:00:02")
    assert (caller.uuid, caller.serial) == (DMI["system"]["uuid"].lower(), "SN-7")


@pytest.mark.parametrize("serial", ["", "None", "Default string", "To Be Filled By O.E.M.", "0000"])
def test_what_a_vendor_writes_for_no_serial_number_names_nobody(serial):
    """Two boards of one vendor would be one host: the wrong disk is wiped."""
    system = {"serial": serial, "uuid": "00000000-0000-0000-0000-000000000000"}

    caller = calls.asked({**ASKED, "dmi": {"system": system}})

    assert (caller.uuid, caller.serial) == ("", "")


def test_an_installation_tells_its_keys_its_address_and_its_release():
    told = calls.installed(INSTALLED)

    assert (told.fqdn, told.release, told.address) == ("pve1.lab.example", "9.1.1", "10.0.0.7")
    assert told.host_keys == (KEY, "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ==")
    assert (told.token, told.caller.serial) == ("run:secret", "SN-7")


@pytest.mark.parametrize("key", ["product", "dmi", "network-interfaces", "ssh-public-host-keys"])
@pytest.mark.parametrize("value", [*WRONG, {}, {"system": []}, [[]], {"ed25519": {}}])
def test_a_part_of_another_form_is_left_out_and_the_rest_is_read(key, value):
    """An installer that gets anything but 200 waits in a shell for a person."""
    told = calls.installed({**INSTALLED, key: value})

    assert told.machine_id == "f" * 32


@pytest.mark.parametrize("document", WRONG)
def test_a_body_that_is_no_object_is_refused(document):
    for read in (calls.asked, calls.installed, calls.home):
        with pytest.raises(Invalid):
            read(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"network_interfaces": [{"mac": "not one"}], "dmi": {"system": {"serial": "\x00" * 9}}},
        {"network_interfaces": {"mac": "52:54:00:00:00:01"}},
        {"dmi": {"system": {"serial": "x" * 300}}},
    ],
)
def test_a_caller_who_names_nothing_of_himself_is_refused(document):
    with pytest.raises(Invalid, match="who asks"):
        calls.asked(document)


def test_more_cards_than_a_host_can_have_are_not_looked_at():
    cards = [{"mac": f"52:54:00:00:{n // 256:02x}:{n % 256:02x}"} for n in range(5_000)]

    assert len(calls.asked({"network_interfaces": cards}).macs) == calls.MOST_CARDS


def test_a_first_boot_tells_its_address_and_its_hardware():
    assert calls.home({"ip": "10.0.0.7", "hardware_id": "u-1"}) == calls.Home(
        address="10.0.0.7", hardware_id="u-1"
    )
    assert calls.home({"ip": "2001:DB8::7", "hardwareId": "u-1"}).address == "2001:db8::7"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"hardware_id": "u-1"}, "/ip"),
        ({"ip": "10.0.0.7/24", "hardware_id": "u-1"}, "/ip"),
        ({"ip": 7, "hardware_id": "u-1"}, "/ip"),
        ({"ip": "10.0.0.7"}, "/hardware_id"),
        ({"ip": "10.0.0.7", "hardware_id": "a\nb"}, "/hardware_id"),
        ({"ip": "10.0.0.7", "hardware_id": ".."}, "/hardware_id"),
        ({"ip": "10.0.0.7", "hardware_id": "../.."}, "/hardware_id"),
    ],
)
def test_a_first_boot_that_says_half_of_it_is_refused_at_the_field(document, field):
    with pytest.raises(Invalid) as caught:
        calls.home(document)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json, application/toml;q=0.5", True),
        ("application/toml", False),
        ("application/json", True),
        ("application/json;q=0.5, application/toml", False),
        ("application/json;q=0", False),
        ("", False),
        ("*/*", False),
        ("application/json;q=nonsense", True),
        ("APPLICATION/JSON ; Q=0.9 , application/toml;q=0.8", True),
        ("," * 10_000, False),
    ],
)
def test_toml_is_said_unless_json_is_wanted_more(accept, json):
    assert calls.wants_json(accept) is json
