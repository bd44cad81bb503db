"""What machines are served by the installers of distributions."""

import re

import pytest
import yaml

from models.bootplan import SLOT, Access, slot_values
from models.errors import Invalid
from models.installers import INSTALLERS, Installer
from pxe_stack import autoinstall, installers
from pxe_stack.kernel_args import NoCloud
from tests.pxe_stack import installed, make
from tests.pxe_stack.installed import callback_url, filled, order, seed_url

UBUNTU, DEBIAN = Installer.AUTOINSTALL, Installer.PRESEED
OF_DISTRIBUTIONS = (UBUNTU, DEBIAN)


def autoinstall_of(template="", **changes):
    text = filled(UBUNTU, "seed/user-data", order(template, **changes))
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)["autoinstall"]


def test_every_installer_has_a_row_and_documents():
    assert set(INSTALLERS) == set(installers.DOCUMENTS) == set(Installer)


def test_the_documents_are_those_that_each_installer_asks_for():
    names = {kind: set(installed.documents(kind)) for kind in OF_DISTRIBUTIONS}
    booted = {"script", "script.grub"}
    seed = {"seed/meta-data", "seed/user-data", "seed/network-config", "seed/installer"}

    assert names[UBUNTU] == booted | seed | {"seed/vendor-data"}
    assert names[DEBIAN] == booted | seed | {"seed/preseed.cfg", "seed/debian"}


@pytest.mark.parametrize("kind", OF_DISTRIBUTIONS)
def test_what_bears_secrets_is_of_the_class_that_closes_first(kind):
    for name, each in installed.documents(kind).items():
        assert each.access is (Access.SCRIPT if name.startswith("script") else Access.SEED)


@pytest.mark.parametrize("kind", Installer)
def test_every_slot_that_is_rendered_can_be_filled(kind):
    slots = {slot for d in installed.documents(kind).values() for slot in SLOT.findall(d.body)}

    assert slots <= slot_values(make.plan(), make.KEY).keys()


def test_ubuntus_kernel_is_told_of_its_iso_and_of_its_seed():
    kernel = f"kernel {make.URL}/artifacts/ubuntu/vmlinuz initrd=initrd.img"
    iso = f"{make.URL}/artifacts/ubuntu/live-server.iso"

    assert (
        f"{kernel} autoinstall ip=dhcp iso-url={iso} cloud-config-url=/dev/null"
        f" ds=nocloud;s={seed_url()} BOOTIF=01-52-54-00-00-00-01 quiet || goto failed"
    ) in filled(UBUNTU, "script").splitlines()


def test_older_media_are_told_in_older_words():
    text = filled(UBUNTU, "script", order(older_media=True))

    assert f" url={make.URL}/artifacts/ubuntu/live-server.iso " in text
    assert f" ds=nocloud-net;s={seed_url()} " in text


def test_grub_is_given_the_semicolon_in_quotes():
    assert f" 'ds=nocloud;s={seed_url()}' " in filled(UBUNTU, "script.grub")


def test_debians_kernel_is_told_of_its_preseed_and_asks_nothing():
    assert (
        f" auto=true priority=critical url={seed_url()}preseed.cfg netcfg/choose_interface=auto"
        " netcfg/get_hostname=node-01 netcfg/get_domain=rack.test"
        " BOOTIF=01-52-54-00-00-00-01 quiet ||"
    ) in filled(DEBIAN, "script")


@pytest.mark.parametrize("url", ["http://s", "http://s/;x/", "http://s/ /", "a'/", "${x}/", ""])
def test_the_semicolon_comes_of_the_typed_part_alone(url):
    with pytest.raises(Invalid):
        NoCloud(url)


@pytest.mark.parametrize("kind", OF_DISTRIBUTIONS)
@pytest.mark.parametrize("word", ["ds=nocloud;s=http://x/", "a||b", "a=${b}", "a\nb", "'a'", "a;"])
def test_an_images_own_arguments_cannot_break_out_of_the_line(kind, word):
    with pytest.raises(Invalid) as caught:
        installed.documents(kind, order(kernel_args=(word,)))

    assert caught.value.field == "/kernelArgs"


def test_a_plain_profile_becomes_the_user_data_of_an_autoinstall():
    made = autoinstall_of()

    assert made["version"] == 1
    assert made["identity"] == {"hostname": "node-01", "username": "ubuntu", "password": "*"}
    assert made["ssh"] == {
        "install-server": True,
        "allow-pw": False,
        "authorized-keys": ["ssh-ed25519 AAAA ops@sprout"],
    }
    assert made["network"]["ethernets"]["boot"]["match"] == {"macaddress": make.MAC}
    assert made["storage"]["layout"]["match"] == {"path": "/dev/sprout-root-disk"}
    assert made["user-data"]["packages"] == ["jq"]
    assert made["user-data"]["phone_home"]["url"] == f"{callback_url()}phone-home"
    assert made["user-data"]["fqdn"] == "node-01.rack.test"


def test_the_installer_reports_first_finds_the_disk_and_reports_last():
    made = autoinstall_of(
        "autoinstall:\n  early-commands: [mine]\n  late-commands: [[my, own]]\n"
        "  error-commands: [theirs]\n"
    )

    assert f"-o /run/sprout-installer {seed_url()}installer" in made["early-commands"][0]
    assert made["early-commands"][1:] == [
        "sh /run/sprout-installer started",
        "sh /run/sprout-installer autoinstall /autoinstall.yaml",
        "mine",
    ]
    assert made["late-commands"] == [["my", "own"], "sh /run/sprout-installer installed"]
    assert made["error-commands"] == ["sh /run/sprout-installer failed", "theirs"]


def test_a_profile_that_is_an_autoinstall_keeps_what_it_says():
    made = autoinstall_of(
        "autoinstall:\n  version: 1\n  locale: nl_NL.UTF-8\n  packages: [vim]\n"
        "  storage: {layout: {name: lvm, match: {serial: '*{{ hostname }}'}}}\n"
        "  identity: {username: ada, hostname: other, password: $6$x$y}\n"
        "  user-data: {timezone: Europe/Amsterdam}\n"
    )

    assert (made["locale"], made["packages"]) == ("nl_NL.UTF-8", ["vim"])
    assert made["storage"]["layout"] == {"name": "lvm", "match": {"serial": "*node-01"}}
    assert made["identity"] == {"username": "ada", "hostname": "node-01", "password": "$6$x$y"}
    assert made["user-data"]["timezone"] == "Europe/Amsterdam"
    assert made["user-data"]["phone_home"]["post"][0] == "pub_key_ed25519"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("autoinstall: [x]", "must be a mapping"),
        ("autoinstall: {version: 2}", "version must be 1"),
        ("autoinstall: {version: true}", "version cannot be bool"),
        ("autoinstall: {late-command: [x]}", "late-command is no key"),
        ("autoinstall: {1: x}", "1 is no key"),
        ("autoinstall: {storage: [x]}", "storage cannot be list"),
        ("autoinstall: {late-commands: [{a: b}]}", "must be commands"),
        ("autoinstall: {late-commands: [[]]}", "must be commands"),
        ("autoinstall: {interactive-sections: [network]}", "would wait for a person"),
        ("autoinstall: {shutdown: poweroff}", "must be reboot"),
        ("autoinstall: {identity: {username: x}}", "identity"),
        ("autoinstall: {version: 1}\npackages: [x]", "stands beside autoinstall"),
        ("autoinstall: {a: {{ nothing }}}", "there is no nothing"),
        ("preseed: |\n  d-i a/b string c\n", "preseed is for the installer preseed"),
        ("a: &a [x]\nb: *a", "aliases"),
        ("a: " + "[" * 33 + "]" * 33, "nested over 32 levels deep"),
        ("a: " + "[" * 60_000, "nested over 32 levels deep"),
    ],
)
def test_what_would_not_install_is_refused_with_the_reason(template, why):
    with pytest.raises(Invalid, match=re.escape(why)) as caught:
        installed.documents(UBUNTU, order(template))

    assert caught.value.field == "/cloudConfigTemplate"


def test_the_disk_is_named_to_the_installer_as_one_word():
    text = filled(UBUNTU, "seed/installer", order(disk_serial="S'; reboot; '", disk_wwn="0x5 c"))

    assert "want_serial='S'\"'\"'; reboot; '\"'\"''\n" in text
    assert "want_wwn='0x5 c'\n" in text
    assert "want_bytes=2000\n" in text


@pytest.mark.parametrize("serial", ["a\nb", "@@sprout:run.id@@", "\x00"])
@pytest.mark.parametrize("kind", OF_DISTRIBUTIONS)
def test_a_disk_that_cannot_be_named_is_refused(kind, serial):
    with pytest.raises(Invalid) as caught:
        installed.documents(kind, order(disk_serial=serial))

    assert caught.value.field == "/rootDisk/serial"


@pytest.mark.parametrize("name", ["no de", "a\nb", "a;b", "a'b", "a: b", "${x}", "-a", "", "a||b"])
@pytest.mark.parametrize("kind", OF_DISTRIBUTIONS)
def test_a_host_name_that_is_none_gets_nowhere(kind, name):
    with pytest.raises(Invalid) as caught:
        installed.documents(kind, order(hostname=name))

    assert caught.value.field == "/hostname"


def test_debians_own_answers_come_before_those_that_hold():
    made = order("preseed: |\n  # mine\n  d-i time/zone string \\\n    Europe/Amsterdam\n")

    lines = filled(DEBIAN, "seed/preseed.cfg", made).splitlines()

    assert lines.index("d-i time/zone string Europe/Amsterdam") < lines.index(
        "d-i partman/early_command string sh /tmp/sprout-installer partman"
    )
    assert "preseed:" not in filled(DEBIAN, "seed/user-data", made)


@pytest.mark.parametrize(
    ("storage", "name"),
    [
        ("{layout: {name: lvm}}", "lvm"),
        ("{layout: {name: zfs, match: {}}}", "zfs"),
        ("{swap: {size: 0}}", "direct"),
    ],
)
def test_a_layout_that_names_no_disk_is_for_the_root_disk_and_not_for_the_largest(storage, name):
    made = autoinstall_of(f"autoinstall: {{version: 1, storage: {storage}}}\n")

    layout = {"name": name, "match": {"path": "/dev/sprout-root-disk"}}
    assert made["storage"]["layout"] == layout


ROOT = {"type": "disk", "id": "d", "path": "/dev/sprout-root-disk"}


def config_of(*disks, **changes):
    config = "".join(f"      - {{type: disk, {disk}}}\n" for disk in disks)
    return autoinstall_of(f"autoinstall:\n  storage:\n    config:\n{config}", **changes)


@pytest.mark.parametrize(
    "disk",
    [
        "id: d",
        "id: d, match: {}",
        "id: d, match: {size: largest}",
        "id: d, match: {ssd: true}",
        "id: d, serial: S1",
        "id: d, wwn: W1",
        "id: d, serial: S1, wwn: W1",
        "id: d, match: {serial: S1}",
        "id: d, path: /dev/sprout-root-disk",
    ],
)
def test_a_described_disk_that_is_not_another_is_the_root_disk_and_no_other(disk):
    made = config_of(disk, disk_serial="S1", disk_wwn="W1")

    assert made["storage"]["config"] == [ROOT]


def test_what_else_is_said_of_a_described_disk_and_of_its_parts_stays():
    part = "{type: partition, id: p, device: d, size: 1G}"

    made = autoinstall_of(
        "autoinstall: {storage: {swap: {size: 0}, config: "
        f"[{{type: disk, id: d, ptable: gpt, wipe: superblock}}, {part}]}}}}"
    )

    assert made["storage"] == {
        "swap": {"size": 0},
        "config": [
            ROOT | {"ptable": "gpt", "wipe": "superblock"},
            {"type": "partition", "id": "p", "device": "d", "size": "1G"},
        ],
    }


def test_a_second_disk_is_the_one_of_its_whole_serial_number():
    made = config_of("id: d", "id: e, serial: S9")

    assert made["storage"]["config"] == [ROOT, {"type": "disk", "id": "e", "serial": "S9"}]


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        (["id: d", "id: e"], "means the root disk more than once"),
        (["id: d", "id: e, serial: S1"], "means the root disk more than once"),
        (["id: d, serial: S9"], "no disk that is the machine's root disk, serial 'S1'"),
        (["id: d", "id: e, serial: 'S*'"], "a disk 'e' that is not named by its whole serial"),
        (["id: d", "id: e, serial: ''"], "a disk 'e' that is not named by its whole serial"),
        (["id: d", "id: e, serial: [S9]"], "a disk 'e' that is not named by its whole serial"),
        (["id: d", "id: e, wwn: W9"], "a disk 'e' that is not named by its whole serial"),
        (["id: d, path: /dev/sda"], "a disk 'd' that is not named by its whole serial"),
        (["id: d, match: {path: /dev/sd*}"], "a disk 'd' that is not named by its whole serial"),
        (["id: d, match: [{size: largest}]"], "a disk 'd' that has a match that is no mapping"),
        (["id: d, serial: S1, path: /dev/sda"], "no disk that is the machine's root disk"),
        ([], "must be a list of actions"),
    ],
)
def test_described_disks_that_may_not_be_the_machines_own_are_refused_with_the_cure(disks, why):
    with pytest.raises(Invalid, match=re.escape(why)) as caught:
        config_of(*disks)

    assert caught.value.field == "/cloudConfigTemplate"
    assert "Leave serial, wwn, path and match out of one disk" in caught.value.hint


def test_a_described_device_is_refused_since_it_has_a_place_and_no_name():
    with pytest.raises(Invalid, match="of the type device"):
        autoinstall_of("autoinstall: {storage: {config: [{type: device, path: /dev/sda}]}}")


def test_a_profile_for_one_machine_may_name_its_disk_before_anybody_knows_it():
    text = "#cloud-config\nautoinstall: {storage: {config: [{type: disk, id: d, serial: S9}]}}\n"

    installers.check_template(text)
    with pytest.raises(Invalid, match="not named by its whole serial"):
        installers.check_template(text.replace("serial: S9", "path: /dev/sda"))


def test_debian_names_a_disk_that_is_none_until_the_right_one_is_found():
    """Where none is named partman takes the only one that is there, also after a failed command."""
    made = order("preseed: |\n  d-i partman-auto/method string lvm\n")

    lines = filled(DEBIAN, "seed/preseed.cfg", made).splitlines()

    [named] = [line for line in lines if line.startswith("d-i partman-auto/disk ")]
    assert named == "d-i partman-auto/disk string /dev/sprout-root-disk"
    assert lines.index("d-i partman-auto/method string lvm") < lines.index(named)


@pytest.mark.parametrize(
    "text",
    [
        "preseed: [d-i]",
        "preseed: d-i",
        "preseed: d-i time/zone strings x",
        "preseed: d-i preseed/late_command string reboot",
        "preseed: d-i  partman-auto/disk  string /dev/sda",
        'preseed: "d-i a/b string x\\u0085d-i partman-auto/disk string /dev/sda"',
        'preseed: "d-i a/b string x\\ed"',
        "autoinstall: {version: 1}",
    ],
)
def test_answers_that_are_none_or_are_ours_are_refused(text):
    with pytest.raises(Invalid):
        installed.documents(DEBIAN, order(text))


def test_an_answer_that_is_none_is_named_by_its_number_since_it_may_hold_a_password():
    text = "preseed: |\n  d-i a/b string c\n  d-i passwd/root-password passwort hunter2\n"

    with pytest.raises(Invalid, match="answer 2 is none for debconf") as caught:
        installed.documents(DEBIAN, order(text))

    assert "hunter2" not in str(caught.value)


def test_debians_system_phones_home_by_a_service_of_its_own():
    config = yaml.safe_load(filled(DEBIAN, "seed/user-data"))
    late = filled(DEBIAN, "seed/debian")

    assert "phone_home" not in config
    assert config["ssh_deletekeys"] is False
    assert f"callback={callback_url()}\n" in late
    assert f"mac={make.MAC}\n" in late
    assert "\n    address 10.77.0.21/24\n    gateway 10.77.0.1\n" in late


def test_a_profile_is_tried_by_each_installer_that_it_may_be_for():
    installers.check_template("#cloud-config\nautoinstall: {version: 1}\n")
    installers.check_template("#cloud-config\npreseed: d-i a/b string c\n")
    with pytest.raises(Invalid, match="no key of autoinstall"):
        installers.check_template("#cloud-config\nautoinstall: {versions: 1}\n")
    with pytest.raises(Invalid, match="is for the installer"):
        installers.check_template("#cloud-config\nautoinstall: {version: 1}\npreseed: x\n")


@pytest.mark.parametrize("kind", Installer)
def test_a_profile_that_is_too_large_is_refused(kind):
    with pytest.raises(Invalid):
        installed.documents(kind, order(f"note: {'x' * 70_000}"))


def test_every_key_of_autoinstall_has_a_type():
    assert len(autoinstall.KEYS) == 32


@pytest.mark.parametrize("kind", OF_DISTRIBUTIONS)
def test_a_report_says_which_installer_it_is_of(kind):
    assert f"\ninstaller={kind}\n" in filled(kind, "seed/installer")
