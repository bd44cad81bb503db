"""How a host's answer is made of its profile, its server type and what Sprout decides."""

from dataclasses import replace

import pytest

from models import answering
from models.answering import Hardware, Ours
from models.errors import Invalid

PROFILE = """
[global]
country = "at"
keyboard = "de"
mailto = "root@lab.example"
timezone = "Europe/Vienna"
"""
STATIC = """
[network]
source = "from-answer"
cidr = "10.0.0.7/24"
dns = "10.0.0.1"
gateway = "10.0.0.1"
"""
OURS = Ours(
    fqdn="pve1.lab.example",
    ssh_key="ssh-ed25519 AAAAC3Nz rebuild",
    password_hash="$6$salt$hash",
    installed_url="http://10.0.0.1:8081/installed",
    first_boot_url="http://10.0.0.1:8081/first-boot",
)
TYPE = Hardware(boot_disk="/dev/nvme0n1", management_nic="enp2s0")


def composed(profile=PROFILE, hardware=TYPE, ours=OURS):
    return answering.composed(profile, hardware, ours).document()


def test_a_short_profile_and_a_server_type_make_a_whole_answer():
    answer = composed()

    assert answer["disk-setup"] == {"filesystem": "ext4", "disk-list": ["/dev/nvme0n1"]}
    assert answer["network"] == {"source": "from-dhcp"}
    assert answer["global"]["fqdn"] == OURS.fqdn
    assert answer["global"]["root-ssh-keys"] == [OURS.ssh_key]
    assert answer["first-boot"]["ordering"] == "fully-up"
    assert answer["post-installation-webhook"] == {"url": OURS.installed_url}


def test_the_profiles_own_disks_password_and_keys_are_kept():
    own = 'root-password-hashed = "$y$other$one"\nroot-ssh-keys = ["ssh-rsa AAAA admin"]\n'
    disks = '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "raid1"\ndisk-list = ["sda", "sdb"]\n'

    answer = composed(PROFILE + own + disks)

    assert answer["global"]["root-password-hashed"] == "$y$other$one"
    assert answer["global"]["root-ssh-keys"] == ["ssh-rsa AAAA admin", OURS.ssh_key]
    assert answer["disk-setup"]["disk-list"] == ["sda", "sdb"]


def test_a_server_type_knows_its_hardware_better_than_a_profile():
    told = '[disk-setup]\nfilter.ID_SERIAL = "KIOXIA*"\n[global]\nkeyboard = "en-us"\n'

    answer = composed(hardware=replace(TYPE, answer=told))

    assert answer["disk-setup"] == {"filesystem": "ext4", "filter": {"ID_SERIAL": "KIOXIA*"}}
    assert (answer["global"]["keyboard"], answer["global"]["country"]) == ("en-us", "at")


def test_the_management_card_is_found_by_name_unless_something_else_is_said():
    named = composed(PROFILE + STATIC)
    other = composed(PROFILE + STATIC + 'filter.ID_NET_NAME_MAC = "*01"\n')

    assert named["network"]["filter"] == {"INTERFACE": "enp2s0"}
    assert other["network"]["filter"] == {"ID_NET_NAME_MAC": "*01"}


def test_a_certificate_is_pinned_wherever_the_installer_calls():
    print_ = ":".join(["AB"] * 32)

    answer = composed(ours=replace(OURS, fingerprint=print_))

    assert answer["post-installation-webhook"]["cert-fingerprint"] == print_
    assert answer["first-boot"]["cert-fingerprint"] == print_


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('fqdn = "mine.example"\n', "/global/fqdn"),
        ('root-password = "in the clear"\n', "/global/root-password"),
        ('[first-boot]\nsource = "from-iso"\n', "/first-boot"),
        (
            '[post-installation-webhook]\nurl = "http://evil.test/"\n',
            "/post-installation-webhook",
        ),
    ],
)
def test_what_sprout_decides_is_stated_by_nobody_else(text, place):
    with pytest.raises(Invalid) as by_profile:
        composed(PROFILE + text)
    with pytest.raises(Invalid) as by_type:
        composed(hardware=replace(TYPE, answer="[global]\n" + text))

    assert by_profile.value.field == f"/profile{place}"
    assert by_type.value.field == f"/serverType/answer{place}"
    assert not {"evil", "clear"} & set(str(by_profile.value).split())


@pytest.mark.parametrize(
    ("profile", "field"),
    [
        ("[global", "/profile"),
        ("global = 1\n", "/answer/global"),
        ("a" * 70_000, "/profile"),
        ("x = " + "[" * 5_000, "/profile"),
        ('[global]\nroot-ssh-keys = "ssh-rsa AAAA one"\n', "/answer/global/country"),
        ("", "/answer/global/country"),
    ],
)
def test_a_profile_that_is_no_answer_is_refused_at_its_place(profile, field):
    with pytest.raises(Invalid) as caught:
        composed(profile)

    assert caught.value.field == field


def test_without_a_disk_the_installer_would_stop_and_so_do_we():
    with pytest.raises(Invalid, match="disk-list and filter"):
        composed(hardware=Hardware())
