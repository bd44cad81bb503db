"""Answers of the unattended Proxmox VE installer: what it would refuse, we refuse before."""

from zoneinfo import ZoneInfoNotFoundError

import pytest

from models import answers, locales
from models.errors import Invalid

GLOBAL = {
    "country": "at",
    "keyboard": "de",
    "fqdn": "pve1.lab.example",
    "mailto": "root@lab.example",
    "timezone": "Europe/Vienna",
    "root-password-hashed": "$6$salt$hash",
}
NETWORK = {"source": "from-dhcp"}
STATIC = {
    "source": "from-answer",
    "cidr": "10.0.0.7/24",
    "dns": "10.0.0.1",
    "gateway": "10.0.0.1",
    "filter": {"ID_NET_NAME_MAC": "*525400000001"},
}
DISK = {"filesystem": "ext4", "disk-list": ["/dev/nvme0n1"]}


def answer(**sections):
    return {"global": GLOBAL, "network": NETWORK, "disk-setup": DISK, **sections}


def with_global(**keys):
    return answer(**{"global": {**GLOBAL, **{k.replace("_", "-"): v for k, v in keys.items()}}})


def refused(document):
    with pytest.raises(Invalid) as caught:
        answers.read(document, field="/answer")
    return caught.value


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"network": STATIC},
        {"network": {**NETWORK, "interface-name-pinning": {"enabled": True}}},
        {
            "network": {
                **NETWORK,
                "interface-name-pinning": {
                    "enabled": True,
                    "mapping": {"52:54:00:00:00:01": "mgmt0"},
                },
            }
        },
        {"disk-setup": {**DISK, "lvm": {"swapsize": 0, "maxroot": 40, "minfree": 2.5}}},
        {
            "disk-setup": {
                "filesystem": "zfs",
                "filter": {"ID_SERIAL": "WDC*"},
                "filter-match": "all",
                "zfs": {"raid": "raidz-1", "ashift": 12, "copies": 1, "compress": "zstd"},
            }
        },
        {
            "disk-setup": {
                "filesystem": "btrfs",
                "disk-list": ["sda", "sdb"],
                "btrfs": {"raid": "raid1"},
            }
        },
        {
            "first-boot": {
                "source": "from-url",
                "url": "http://a.example/s",
                "ordering": "fully-up",
            }
        },
        {"post-installation-webhook": {"url": "http://10.0.0.1/installed", "auth-token": "a:b"}},
        {"global": {**GLOBAL, "fqdn": {"source": "from-dhcp", "domain": "lab.example"}}},
        {"global": {**GLOBAL, "reboot-mode": "power-off", "reboot-on-error": True}},
    ],
)
def test_what_is_documented_is_taken_and_said_as_it_was(sections):
    document = answer(**sections)

    said = answers.read(document, field="/answer").document()

    told = {"reboot-on-error": False, **document["global"]}
    assert said == {**document, "global": told}


@pytest.mark.parametrize(
    ("document", "place", "words"),
    [
        ({}, "/global", "required"),
        (with_global(country="Austria"), "/global/country", "two small letters"),
        (with_global(keyboard="dvorak"), "/global/keyboard", "'de'"),
        (with_global(country="uk"), "/global/country", "ISO 3166"),
        (with_global(country="xx"), "/global/country", "ISO 3166"),
        (with_global(timezone="Europe/Nowhere"), "/global/timezone", "a time zone"),
        (with_global(timezone="Etc/UTC"), "/global/timezone", "a time zone"),
        (with_global(timezone="CET"), "/global/timezone", "a time zone"),
        (with_global(timezone="Europe"), "/global/timezone", "a time zone"),
        (with_global(timezone="../../etc/passwd"), "/global/timezone", "a time zone"),
        (with_global(timezone="Europe/Berlin\n"), "/global/timezone", "a time zone"),
        (with_global(fqdn="42.lab.example"), "/global/fqdn", "not of digits alone"),
        (with_global(fqdn="pve1"), "/global/fqdn", "host name with its domain"),
        (with_global(fqdn="pve1.lab.example\nx = 1"), "/global/fqdn", "host name"),
        (with_global(mailto="nobody"), "/global/mailto", "mail address"),
        (with_global(root_password="12345678"), "/global", "exactly one of root-password"),
        (with_global(root_password_hashed="plain"), "/global/root-password-hashed", "crypt"),
        (with_global(root_ssh_keys=["rm -rf /"]), "/global/root-ssh-keys/0", "public key"),
        (with_global(reboot_on_error="yes"), "/global/reboot-on-error", "boolean"),
        (answer(**{"global": {**GLOBAL, "root_ssh_keys": []}}), "/global/root_ssh_keys", "Extra"),
        (answer(network={**NETWORK, "dns": "10.0.0.1"}), "/network", "there is no dns"),
        (answer(network={"source": "from-answer", "cidr": "10.0.0.7/24"}), "/network", "wants dns"),
        (answer(network={**STATIC, "gateway": "10.0.1.1"}), "/network", "is not in 10.0.0.0/24"),
        (answer(network={**STATIC, "gateway": "10.0.0.7"}), "/network", "machine itself"),
        (answer(network={**STATIC, "cidr": "10.0.0.7"}), "/network/cidr", "with its prefix"),
        (
            answer(
                network={
                    **NETWORK,
                    "interface-name-pinning": {
                        "enabled": True,
                        "mapping": {"52:54:00:00:00:01": "a name that is far too long"},
                    },
                }
            ),
            "/network/interface-name-pinning/mapping/52:54:00:00:00:01",
            "2 to 15",
        ),
        (answer(**{"disk-setup": {**DISK, "filter": {"A": "b"}}}), "/disk-setup", "exactly one of"),
        (answer(**{"disk-setup": {"filesystem": "ext4"}}), "/disk-setup", "exactly one of"),
        (
            answer(**{"disk-setup": {"filesystem": "xfs", "disk-list": ["sda", "sdb"]}}),
            "/disk-setup",
            "exactly one disk, not 2",
        ),
        (answer(**{"disk-setup": {**DISK, "zfs": {"raid": "raid0"}}}), "/disk-setup", "no section"),
        (
            answer(**{"disk-setup": {"filesystem": "zfs", "disk-list": ["sda"]}}),
            "/disk-setup",
            "zfs.raid",
        ),
        (
            answer(
                **{
                    "disk-setup": {
                        "filesystem": "zfs",
                        "disk-list": ["sda", "/dev/sda"],
                        "zfs": {"raid": "raid1"},
                    }
                }
            ),
            "/disk-setup",
            "named twice",
        ),
        (
            answer(
                **{
                    "disk-setup": {
                        "filesystem": "zfs",
                        "disk-list": ["sda", "sdb"],
                        "zfs": {"raid": "raidz-1"},
                    }
                }
            ),
            "/disk-setup",
            "at least 3 disks",
        ),
        (answer(**{"first-boot": {"source": "from-url"}}), "/first-boot", "url goes with"),
        (
            answer(**{"post-installation-webhook": {"url": "file:///etc/passwd"}}),
            "/post-installation-webhook/url",
            "http",
        ),
    ],
)
def test_what_the_installer_would_refuse_is_refused_at_its_place(document, place, words):
    fault = refused(document)

    assert (fault.field, words in str(fault)) == (f"/answer{place}", True), str(fault)


def test_other_faults_are_told_too_and_no_value_is_repeated():
    """A password that is written at a wrong place must not come back in the words about it."""
    fault = refused(with_global(country="hunter2-secret", mailto="x", root_password="hunter2"))

    assert "global.country" in str(fault)
    assert "/global/mailto" in fault.hint
    assert "hunter2" not in f"{fault} {fault.hint}"


def test_a_system_that_knows_no_time_zones_judges_none(monkeypatch):
    monkeypatch.setattr(locales, "ZoneInfo", none_there)

    assert locales.timezone("Europe/Nowhere") == "Europe/Nowhere"


def none_there(key):
    raise ZoneInfoNotFoundError(key)
